"""What has arrived of an answer: for the reader, for a continuation, and for the completion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tframex._types import ReasoningMode
from tframex.completion import Choice, Delta, ToolCall
from tframex.exchange._token_trail import TokenTrail
from tframex.exchange._tool_calls import ToolCalls
from tframex.exchange._wire import Chunk, ChunkDelta

__all__ = ["Collector"]

Phase = Literal["nothing", "reasoning", "content"]


@dataclass
class _Answer:
    """One of the answers to a request: passages of reasoning and of content in turn."""

    passages: list[tuple[bool, list[str]]] = field(default_factory=list)
    calls: ToolCalls = field(default_factory=ToolCalls)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    ends: list[int | None] = field(default_factory=lambda: [None, None])

    @property
    def thinking(self) -> bool:
        """Whether the last passage is reasoning."""
        return bool(self.passages) and self.passages[-1][0]

    def passage(self, *, thought: bool) -> list[str]:
        """The pieces of the last passage, or of a new one if the last is of the other kind."""
        if not self.passages or self.passages[-1][0] is not thought:
            self.passages.append((thought, []))
        return self.passages[-1][1]

    def of(self, *, thought: bool) -> str:
        """All of the reasoning, or all of the content."""
        return "".join("".join(pieces) for kind, pieces in self.passages if kind is thought)

    def inline(self) -> str:
        """All of the text, the reasoning between tags."""
        text = ""
        for thought, pieces in self.passages:
            text += ("<think>" if thought else "</think>" if text else "") + "".join(pieces)
        return text


class Collector:
    """Collects the answers to one request, over all the requests they take.

    Args:
        reasoning: Where separate reasoning text goes.
    """

    __slots__ = ("_answers", "_mode", "_text", "tokens", "unspliceable")

    def __init__(self, reasoning: ReasoningMode = "separate") -> None:
        self._mode = reasoning
        self.clear()

    def clear(self) -> None:
        """Forget everything: the answer starts over."""
        self.tokens = TokenTrail()
        self.unspliceable = False
        """Something arrived that cannot be joined: tool calls, a second answer, a refusal, a chunk of another shape."""
        self._answers: dict[int, _Answer] = {}
        self._text: list[str] | None = None

    def begin(self) -> None:
        """Prepare for another response."""
        self.tokens.begin()
        for answer in self._answers.values():
            answer.finish_reason = None

    def begin_with(self, text: str, tokens: int) -> None:
        """Begin with text of the first answer that has already been received."""
        self._answer(0).passage(thought=False).append(text)
        self.tokens.begin_with(tokens)

    # -- what arrives --------------------------------------------------------------------------------------------

    def note_texts(self, texts: list[str], ids: list[list[int] | None]) -> bool:
        """Take in content of the first answer: what `note` does, in a fraction of the time.

        Args:
            texts: The texts, one for each event.
            ids: The tokens of each, where they are known.

        Returns:
            Whether they were taken in: not where they end a thought, which only `note` can do.
        """
        if self._text is None:
            answer = self._answer(0)
            if answer.thinking:
                return False
            self._text = answer.passage(thought=False)
        self._text += texts
        self.tokens.note_texts(ids)
        return True

    def note_text(self, text: str, ids: list[int] | None) -> bool:
        """As `note_texts`, for one event."""
        if self._text is None:
            return self.note_texts([text], [ids])
        self._text.append(text)
        self.tokens.note_text(ids)
        return True

    def note(self, chunk: Chunk, into: list[Delta | str]) -> bool:
        """Take in one chunk, add what the reader gets of it to `into`, and return whether an answer ended with it."""
        finished = False
        for choice in chunk.choices or ():
            answer, delta = self._answer(choice.index), choice.delta
            if delta is not None:
                if choice.index or delta.tool_calls or delta.refusal:
                    self.unspliceable = True
                piece = self._take(answer, delta, choice.token_ids)
                calls = tuple(map(answer.calls.add, delta.tool_calls)) if delta.tool_calls else ()
                if piece[0] or piece[1] or calls:
                    into.append(Delta(*piece, calls, choice.index))
            if choice.logprobs:
                answer.logprobs += choice.logprobs.content or ()
            if choice.finish_reason:
                answer.finish_reason = choice.finish_reason
                self.tokens.settle()
                finished = True
        return finished

    def _take(self, answer: _Answer, delta: ChunkDelta, ids: list[int] | None) -> tuple[str, str]:
        """Take in the text of a delta, and return the content and the reasoning that the reader gets."""
        content, thought = delta.content or "", delta.reasoning or delta.reasoning_content or ""
        thinking = answer.thinking
        if content and (thinking or thought):
            self.tokens.thought_ended(ids)
        if thought:
            self._text = None
            answer.passage(thought=True).append(thought)
        if content:
            answer.passage(thought=False).append(content)
        if content or thought:
            self.tokens.note(ids, settled=True)
        elif ids:
            self.tokens.note(ids, settled=False)
        if delta.refusal:
            answer.refusal.append(delta.refusal)
        if not thought and not thinking:
            return content, ""
        if self._mode == "inline":
            opening = "<think>" if thought and not thinking else ""
            return f"{opening}{thought}{'</think>' if content else ''}{content}", ""
        return content, thought if self._mode == "separate" else ""

    def _answer(self, index: int) -> _Answer:
        answer = self._answers.get(index)
        if answer is None:
            answer = self._answers[index] = _Answer()
        return answer

    # -- what has arrived ----------------------------------------------------------------------------------------

    @property
    def begun(self) -> int:
        """How many answers have begun."""
        return len(self._answers)

    @property
    def finished(self) -> int:
        """How many answers have their finish reason."""
        return sum(answer.finish_reason is not None for answer in self._answers.values())

    @property
    def phase(self) -> Phase:
        """What the first answer has reached: nothing yet, reasoning, or content."""
        first = self._answers.get(0)
        return "nothing" if first is None or not first.passages else "reasoning" if first.thinking else "content"

    @property
    def anything(self) -> bool:
        """Whether the reader has been given anything."""
        return self.unspliceable or self.phase != "nothing"

    @property
    def content(self) -> str:
        """The content of the first answer, without separate reasoning."""
        return self._answers[0].of(thought=False) if 0 in self._answers else ""

    @property
    def reasoning(self) -> str:
        """The separate reasoning of the first answer."""
        return self._answers[0].of(thought=True) if 0 in self._answers else ""

    @property
    def text(self) -> str:
        """The text of the first answer as the reader has received it."""
        return self._written(self._answers[0]) if 0 in self._answers else ""

    def partial_message(self) -> str:
        """The first answer as the model generated it, its reasoning between tags."""
        thought, content = self.reasoning, self.content
        if not thought:
            return content
        opening = "<think>" if thought.startswith("\n") else "<think>\n"
        return f"{opening}{thought}" if self.phase == "reasoning" else f"{opening}{thought}</think>{content}"

    def cut(self, end: int, reason: str, *, thinking: bool = False) -> None:
        """End the text (or the separate reasoning) of the first answer after `end` characters."""
        self._answers[0].ends[thinking] = end
        self._answers[0].finish_reason = reason

    def _written(self, answer: _Answer) -> str:
        text = answer.inline() if self._mode == "inline" else answer.of(thought=False)
        return text[: answer.ends[False]]

    def choices(self) -> tuple[Choice, ...]:
        """The answers, in the order of their index."""
        return tuple(map(self._choice, (answer for _, answer in sorted(self._answers.items())))) or (Choice(""),)

    def _choice(self, answer: _Answer) -> Choice:
        calls: tuple[ToolCall, ...] = answer.calls.complete()
        return Choice(
            text=self._written(answer),
            reasoning=answer.of(thought=True)[: answer.ends[True]] if self._mode == "separate" else "",
            finish_reason=answer.finish_reason,
            tool_calls=calls,
            logprobs=tuple(answer.logprobs),
            refusal="".join(answer.refusal),
        )
