"""Summaries of what was said, by the model itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from tframex._types import Message
from tframex.agents._measuring import learn, measured
from tframex.completion import Completion
from tframex.events import Event, RunFinished, StepFinished, TextPiece, in_step
from tframex.model import BaseModel
from tframex.tasks import Closing
from tframex.text import strip_thinking
from tframex.tokens import text_of

__all__ = ["Summary"]

_STEP = "condense"
_TASK = """Summarise the beginning of a conversation, so that it can be continued by someone who has read nothing but your \
summary. Keep names, numbers, decisions, what the user wants, and what is still open. Write at most {words} words, and \
nothing else.

{before}The conversation:
{text}

The summary:"""
_BEFORE = "The summary of what was said before it, which yours replaces:\n{summary}\n\n"
# The part of the window that a summary takes, and what it may take with the thought before it.
_SHARE, _WITH_THOUGHT = 8, 3
_UNKNOWN_WINDOW = 4096
# Characters of the smallest part: a window that has no room for these is too small for a conversation.
_LEAST = 64
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Result"}
# What says how the endpoint is asked; everything else of a turn shapes its answer.
_CARRIED = frozenset(
    [
        "chat_template_kwargs",
        "connect_timeout",
        "extra_headers",
        "extra_query",
        "first_token_timeout",
        "idle_timeout",
        "max_retries",
        "model",
        "reasoning_effort",
        "resume",
        "timeout",
        "total_timeout",
    ]
)


class Summary:
    """A summary of turns, made with as many calls as their length takes: each continues the summary of the one before.

    Args:
        model: Who writes it.
        window: Tokens that a request and its answer may have together, or None if unknown.
        options: Options of the turn that it is made for; of these, what belongs to every request is used.

    Attributes:
        text: The summary; complete when `events` has ended.
        completions: The calls that were made.
    """

    def __init__(self, model: BaseModel, window: int | None, options: dict[str, Any]) -> None:
        self._model = model
        self._window = window
        self._options = {name: value for name, value in options.items() if name in _CARRIED}
        self._limit = "max_completion_tokens" if "max_completion_tokens" in options else "max_tokens"
        self.text = ""
        self.completions: list[Completion] = []

    async def events(self, before: str, turns: Sequence[Sequence[Message]]) -> AsyncGenerator[Event, None]:
        """What happens until it is made; the pieces of its text are left out, since they are not those of an answer.

        Args:
            before: The summary of the turns before these; empty if there are none.
            turns: The turns.
        """
        self.text = before
        share = max(16, (self._window or _UNKNOWN_WINDOW) // _SHARE)
        rest = _written(message for turn in turns for message in turn)
        while rest:
            part = await self._part(rest, share)
            for most in (share, (self._window or _UNKNOWN_WINDOW) // _WITH_THOUGHT):
                async with Closing(self._call(part, share, most)) as events:
                    async for event in events:
                        yield event
                completion = self.completions[-1]
                found = strip_thinking(completion.text)
                if found or not completion.truncated:
                    break
                # All of it was a thought: there has to be room for both.
            self.text = self._short(found, 2 * share) or self.text
            rest = rest[len(part) :]
        self.text = self.text or f"({len(turns)} turns, of which no summary was made.)"

    def _short(self, text: str, most: int) -> str:
        """The beginning of a summary that is longer than was asked for, as far as known."""
        tokens = self._model.counter.count(text)
        return text if tokens <= most else _beginning(text, max(1, len(text) * most // tokens))

    async def _call(self, part: str, share: int, most: int) -> AsyncGenerator[Event, None]:
        messages = self._messages(part, share)
        options = await self._model.fit(messages, {**self._options, self._limit: most})
        async with Closing(self._model.events(messages, restart=True, **options)) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    self.completions.append(event.result)
                    learn(self._model, messages, event.result)
                    yield StepFinished(_STEP, _STEP, event.result)
                elif not isinstance(event, TextPiece):
                    yield in_step(event, _STEP, _STEP)

    def _messages(self, part: str, share: int) -> list[Message]:
        before = _BEFORE.format(summary=self.text) if self.text else ""
        # A word has about one and a half tokens.
        return [{"role": "user", "content": _TASK.format(words=max(10, share * 2 // 3), before=before, text=part)}]

    async def _part(self, rest: str, share: int) -> str:
        """As much of the beginning of a text as fits into one request."""
        if self._window is None:
            return rest
        room, part = self._window - share, rest
        while True:
            tokens = await measured(self._model, self._messages(part, share))
            if tokens <= room or len(part) <= _LEAST:
                return part
            part = _beginning(part, max(_LEAST, min(len(part) - 1, int(len(part) * room / tokens * 0.9))))


def _written(messages: Iterable[Message]) -> str:
    lines = []
    for message in messages:
        said = str(message.get("content") or "") if not isinstance(message.get("content"), list) else text_of(message)
        if said:
            lines.append(f"{_SPEAKERS.get(str(message['role']), message['role'])}: {said}")
        for call in message.get("tool_calls") or ():
            lines.append(f"Assistant calls {call['function']['name']}({call['function']['arguments']})")
    return "\n\n".join(lines)


def _beginning(text: str, length: int) -> str:
    """At most `length` characters, up to the end of a line or a word where there is one."""
    for mark in ("\n", " "):
        end = text.rfind(mark, length // 2, length)
        if end > 0:
            return text[: end + 1]
    return text[:length]
