"""From the chunks of a stream to deltas, and to the whole answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tframex._types import ReasoningMode
from tframex.completion import Choice, Delta, ToolCall
from tframex.exchange import Arrival, Chunk, ChunkChoice, ChunkDelta

__all__ = ["Assembly"]


@dataclass
class _Parts:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, ToolCall] = field(default_factory=dict)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    thinking: bool = False


class Assembly:
    """Collects one answer.

    Args:
        reasoning: Where a server's separate reasoning text goes.
    """

    def __init__(self, reasoning: ReasoningMode) -> None:
        self._mode = reasoning
        self._parts: dict[int, _Parts] = {}

    def add_all(self, batch: Arrival) -> Sequence[Delta | str]:
        """Take a batch in and return what the reader gets of it; text of the first choice is a bare string."""
        parts = self._parts.get(0)
        if batch.texts is not None and parts is not None and not parts.thinking:
            parts.text += batch.texts
            return batch.texts
        into: list[Delta | str] = []
        for chunk in batch.chunks:
            if not isinstance(chunk, str):
                self._add(chunk, into)
                parts = self._parts.get(0)
            elif parts is None or parts.thinking:
                self._add(Chunk(choices=[ChunkChoice(delta=ChunkDelta(content=chunk))]), into)
            else:
                parts.text.append(chunk)
                into.append(chunk)
        return into

    def _add(self, chunk: Chunk, into: list[Delta | str]) -> None:
        for choice in chunk.choices or ():
            parts = self._parts.get(choice.index)
            if parts is None:
                parts = self._parts[choice.index] = _Parts()
            delta = choice.delta
            if delta is not None:
                content = delta.content or ""
                thought = delta.reasoning or delta.reasoning_content or ""
                if (thought or parts.thinking) and self._mode == "inline":
                    content, thought = self._inline(parts, content, thought), ""
                elif self._mode == "drop":
                    thought = ""
                if delta.refusal:
                    parts.refusal.append(delta.refusal)
                calls = self._tool_calls(parts, choice) if delta.tool_calls else ()
                if content or thought or calls:
                    parts.text.append(content)
                    if thought:
                        parts.reasoning.append(thought)
                    into.append(Delta(content, thought, calls, choice.index))
            if choice.logprobs:
                parts.logprobs += choice.logprobs.content or ()
            if choice.finish_reason:
                parts.finish_reason = choice.finish_reason

    @staticmethod
    def _inline(parts: _Parts, content: str, thought: str) -> str:
        if thought and not parts.thinking:
            thought = f"<think>{thought}"
            parts.thinking = True
        if content and parts.thinking:
            parts.thinking = False
            return f"{thought}</think>{content}"
        return thought

    @staticmethod
    def _tool_calls(parts: _Parts, choice: ChunkChoice) -> tuple[ToolCall, ...]:
        assert choice.delta is not None
        pieces = []
        for call in choice.delta.tool_calls or ():
            function = call.function
            piece = ToolCall(
                index=call.index,
                id=call.id or "",
                name=(function.name if function else None) or "",
                arguments=(function.arguments if function else None) or "",
            )
            known = parts.tool_calls.get(call.index)
            parts.tool_calls[call.index] = (
                piece
                if known is None
                else replace(
                    known,
                    id=known.id or piece.id,
                    name=known.name or piece.name,
                    arguments=known.arguments + piece.arguments,
                )
            )
            pieces.append(piece)
        return tuple(pieces)

    def cut(self, end: int, reason: str, *, thinking: bool = False) -> None:
        """End the text (or the separate reasoning) of the first choice after `end` characters."""
        parts = self._parts[0]
        if thinking:
            parts.reasoning = ["".join(parts.reasoning)[:end]]
        else:
            parts.text = ["".join(parts.text)[:end]]
        parts.finish_reason = reason

    def begin_with(self, text: str) -> None:
        """Begin with text of the first choice that is there already."""
        self._parts[0] = _Parts([text])

    def clear(self) -> None:
        """Forget everything: the answer is started over."""
        self._parts.clear()

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return "".join(self._parts[0].text) if 0 in self._parts else ""

    def choices(self) -> tuple[Choice, ...]:
        """The answers, in the order of their index."""
        return tuple(
            Choice(
                text="".join(parts.text),
                reasoning="".join(parts.reasoning),
                finish_reason=parts.finish_reason,
                tool_calls=tuple(call for _, call in sorted(parts.tool_calls.items())),
                logprobs=tuple(parts.logprobs),
                refusal="".join(parts.refusal),
            )
            for _, parts in sorted(self._parts.items())
        ) or (Choice(""),)
