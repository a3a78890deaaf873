"""An answer on the terminal, while it is made."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tframex.cli._terminal import Terminal

if TYPE_CHECKING:
    from tframex.events import Event
    from tframex.model import Completion

__all__ = ["as_json", "footer", "show"]

_WIDE = 100


def show(events: Generator[Event, None, None], terminal: Terminal, *, live: bool = True) -> Completion:
    """Write the answer as it comes; what is no part of it goes to standard error.

    Args:
        events: Those of a run.
        terminal: Where to show it.
        live: Show the text of every step while it is written. Otherwise only the answer, when it is complete: before that,
            it may be what the model writes before it calls a tool.
    """
    shown = _Shown(terminal, live)
    with closing(events) as arriving:
        for event in arriving:
            completion = shown.take(event)
            if completion is not None:
                return completion
    raise AssertionError("the events of a run end with RunFinished")


class _Shown:
    def __init__(self, terminal: Terminal, live: bool) -> None:
        self._terminal = terminal
        self._live = live
        self._thinking = False
        self._written = ""
        """What is on the last lines of standard output."""
        self._condensing = False

    def take(self, event: Event) -> Completion | None:
        """Show an event; returns the completion of the last one."""
        from tframex import events

        terminal = self._terminal
        if isinstance(event, events.ReasoningPiece) and event.index == 0:
            self._thinking = terminal.thought(event.text) or self._thinking
        elif isinstance(event, events.TextPiece) and event.index == 0 and self._live:
            self._write(event.text)
        elif isinstance(event, events.ToolStarted):
            self._remark(f"{event.call.name}({_short(event.call.arguments)})")
        elif isinstance(event, events.ToolProgress):
            self._remark(f"  {_short(event.text)}")
        elif isinstance(event, events.ToolResult):
            self._remark(f"  {'failed: ' if event.failed else '-> '}{_short(event.content)}")
        elif isinstance(event, events.CallRetried) and event.dropped and self._written:
            self._remark("The answer starts over.")
        elif isinstance(event, events.CallStarted) and event.kind == "condense" and not self._condensing:
            self._condensing = True
            self._remark("Condensing what was said, to make room ...")
        elif isinstance(event, events.RunFinished):
            completion: Completion = event.result
            if not self._live:
                self._write(completion.text)
            self._end()
            return completion
        return None

    def _write(self, text: str) -> None:
        if self._thinking:
            self._thinking = False
            sys.stderr.write("\n\n")
        self._written = (self._written + text)[-2:]
        self._terminal.write(text)

    def _remark(self, text: str) -> None:
        if self._thinking:
            self._thinking = False
            sys.stderr.write("\n")
        if self._written:
            self._end()
        self._terminal.remark(text)

    def _end(self) -> None:
        if not self._written.endswith("\n"):
            self._terminal.write("\n")
        self._written = ""


def as_json(completion: Completion) -> dict[str, Any]:
    """A completion for a program."""
    found = asdict(completion)
    return {
        "text": completion.text,
        **({} if completion.output is None else {"output": completion.output}),
        "reasoning": completion.reasoning,
        "finish_reason": completion.finish_reason,
        "model": completion.model_id,
        "usage": found["usage"],
        "seconds": completion.timings.total,
        "first_token_seconds": completion.timings.first_token,
        "retries": completion.retries,
        "resumes": completion.resumes,
    }


def footer(completion: Completion) -> str:
    """What an answer has taken."""
    timings, usage = completion.timings, completion.usage
    parts = [] if usage is None else [f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written"]
    parts.append(f"{timings.total:.1f} s")
    if timings.first_token is not None:
        parts[-1] += f", the first token after {timings.first_token:.2f} s"
    for count, what in ((completion.retries, "sent again"), (completion.resumes, "continued after a break")):
        if count:
            parts.append(f"{what} {count} times" if count > 1 else f"{what} once")
    return "; ".join(parts)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 3]}..."
