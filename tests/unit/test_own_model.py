"""A user's own model that counts, has a window, and continues its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import USER, Colour
from tframex._types import Messages
from tframex.agents import BasicAgent
from tframex.errors import ContextLengthError, StreamInterruptedError
from tframex.model import BaseModel, Completion, Delta
from tframex.systems import ChainOfAgents

ANSWER = [f"word{number} " for number in range(40)]
TEXT = "\n\n".join(f"Keeper number {number} wrote down every ship." for number in range(30))


class Own(BaseModel):
    """Counts words, has a window in words, breaks off where it is told to, and continues."""

    def __init__(self, window: int | None = 400) -> None:
        super().__init__("own")
        self.default_max_tokens = 60
        self.break_after: int | None = None
        self.noted: list[int] = []
        self.generated = 0
        self.continued: list[tuple[str, int]] = []
        self.prompts: list[int] = []
        self._window = window

    async def window(self) -> int | None:
        return self._window

    def note_window(self, window: int) -> None:
        self._window = window

    async def count_tokens(self, what: str | Messages) -> int | None:
        texts = [what] if isinstance(what, str) else [message["content"] for message in what]
        return sum(len(text.split()) for text in texts)

    async def continues(self, options: dict[str, Any]) -> bool:
        return options.get("resume") != "never"

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        self.prompts.append(await self.count_tokens(messages) or 0)
        for piece in self._from(0):
            yield piece

    async def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncGenerator[Delta | Completion, None]:
        self.continued.append((partial, tokens))
        yield Delta(partial)
        text = partial
        for piece in self._from(tokens):
            text += piece
            yield Delta(piece)
        completion = await Text(text).call(messages)
        yield completion

    def _from(self, start: int) -> Iterable[str]:
        pieces = ANSWER[start:]
        if self.break_after is None:
            self.generated += len(pieces)
            return pieces
        return _breaking(self, pieces[: self.break_after])


class Text(BaseModel):
    """Says one text."""

    def __init__(self, text: str) -> None:
        super().__init__("own")
        self._text = text

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        yield self._text


def _breaking(model: Own, pieces: list[str]) -> Iterator[str]:
    for piece in pieces:
        model.generated += 1
        yield piece
    raise StreamInterruptedError("the line is dead")


def test_a_run_with_a_checkpoint_resumes_inside_a_step_of_a_user_s_own_model(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", model))
        model.break_after = 25
        with pytest.raises(StreamInterruptedError):
            await system.run("What?", TEXT[:200], checkpoint=tmp_path / "job")
        model.break_after = None
        result = await system.complete("What?", TEXT[:200], checkpoint=tmp_path / "job")
        assert result.text == "".join(ANSWER).strip()
        # The pieces in between came on another event loop or in other tasks; at the most one is asked for again.
        [(partial, tokens)] = model.continued
        assert partial == "".join(ANSWER[:tokens])
        assert tokens >= 24
        assert model.generated <= len(ANSWER) + 1
        assert result.context_window == 400

    model = Own()
    colour.run(body)


def test_no_prompt_exceeds_the_window_of_a_user_s_own_model(colour: Colour) -> None:
    async def body() -> None:
        result = await colour.make(ChainOfAgents("c", model)).complete("What?", TEXT * 4)
        assert len(result.steps) > 3
        assert max(model.prompts) + 60 <= 400
        assert model.counter.exact

    model = Own()
    colour.run(body)


def test_a_prompt_is_fitted_by_a_user_s_own_count(colour: Colour) -> None:
    async def body() -> None:
        own = colour.make(model)
        assert await own.count_tokens("one two") == 2
        assert await own.fit(USER, {"max_tokens": 5}) == {"max_tokens": 5}
        assert own.answer_tokens({}) == 60
        long = [{"role": "user", "content": "word " * 3000}]
        assert await own.fit(long, {"max_tokens": 500}) == {"max_tokens": 100}
        own.note_window(2000)
        with pytest.raises(ContextLengthError, match="the prompt has 3000 tokens, and the context window"):
            await own.fit(long, {})
        with pytest.raises(ContextLengthError):
            await colour.make(BasicAgent("a", model)).run("word " * 3000)

    model = Own(window=3100)
    colour.run(body)


def test_a_model_that_says_nothing_of_itself_neither_counts_nor_continues(colour: Colour) -> None:
    async def body() -> None:
        model = colour.make(Text("x"))
        assert (await model.window(), await model.count_tokens("a"), await model.continues({})) == (None, None, False)
        model.note_window(5)
        assert await model.window() is None
        with pytest.raises(NotImplementedError, match="Text cannot continue a partial answer"):
            Text("x").stream_after(USER, "a", 1)

    colour.run(body)


def test_a_counter_hands_on_what_it_has_learned(colour: Colour) -> None:
    async def body() -> None:
        first, second = colour.make(Own().counter), colour.make(Own().counter)
        await first.measure(USER)
        second.restore(first.state())
        assert second.ratio == first.ratio != 1.0

    colour.run(body)
