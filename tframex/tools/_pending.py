"""What a person decides about the calls of a run that has stopped, in whatever process and whenever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tframex.completion import ToolCall
from tframex.errors import ConfigurationError
from tframex.files import Journal, Row, read_journal
from tframex.tools._rows import call_of

__all__ = ["PendingCall", "approve", "deny", "pending_calls", "resolve"]


@dataclass(frozen=True)
class PendingCall:
    """A call that waits for a person.

    Attributes:
        call: The call.
        step: The step of the run that it belongs to.
        why: `"approval"`: it has not run, and its tool says that a person approves it. `"uncertain"`: it had begun when the
            run ended, and may have taken effect.
        key: Its idempotency key, by which a service may know it; empty if it has not begun.
        error: What it raised, if that is what ended the run.
        at: When it was written down, in seconds since 1970.
    """

    call: ToolCall
    step: str
    why: Literal["approval", "uncertain"]
    key: str = ""
    error: str = ""
    at: float = 0.0


def pending_calls(path: str | Path) -> list[PendingCall]:
    """The calls of a run that wait for a person. A tool's `on_uncertain` may decide about an uncertain one by itself.

    Args:
        path: The checkpoint of the run.

    Raises:
        CheckpointError: There is no checkpoint, or it is damaged.
    """
    waiting = [found for row in read_journal(path) if (found := pending_in(row)) is not None]
    return sorted(waiting, key=lambda found: found.call.index)


def approve(path: str | Path, call: ToolCall | str) -> None:
    """Let a call run when the run is started again.

    Args:
        path: The checkpoint of the run.
        call: The call, or its id.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or its run is alive.
        ConfigurationError: No call of this id waits for approval.
    """
    _decide(path, call, "approval", lambda row: _with(row, decided=True))


def deny(path: str | Path, call: ToolCall | str, reason: str = "") -> None:
    """Have the model told that a call was denied, when the run is started again.

    Args:
        path: The checkpoint of the run.
        call: The call, or its id.
        reason: Why, in words for the model.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or its run is alive.
        ConfigurationError: No call of this id waits for approval.
    """
    told = f"The user has denied this call; it was not run.{f' The reason: {reason}' if reason else ''}"
    _decide(path, call, "approval", lambda row: _with(replace(row, done=True, text=told), failed=True, denied=True))


def resolve(path: str | Path, call: ToolCall | str, *, result: str | None = None, retry: bool = False) -> None:
    """Say what became of an uncertain call: it has happened, with a result, or it has not and is to run again.

    Args:
        path: The checkpoint of the run.
        call: The call, or its id.
        result: It has happened, and this is what the model reads.
        retry: It has not happened: call the tool again, with the same `ToolContext.key`.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or its run is alive.
        ConfigurationError: No call of this id is uncertain, or not exactly one of `result` and `retry` is given.
    """
    if (result is None) is not retry:
        raise ConfigurationError("give resolve either the result of the call, or retry=True")
    if result is None:
        _decide(path, call, "uncertain", lambda row: _with(row, decided=True))
    else:
        text = result
        _decide(path, call, "uncertain", lambda row: replace(row, done=True, text=text))


def pending_in(row: Row) -> PendingCall | None:
    """The call in a row of a journal, if it waits for a person."""
    call = call_of(row)
    if call is None or row.done or row.details.get("decided"):
        return None
    details = row.details
    why: Literal["approval", "uncertain"] = "uncertain" if row.key else "approval"
    return PendingCall(call, details["step"], why, row.key, details.get("error", ""), details.get("at", 0.0))


def _with(row: Row, **details: object) -> Row:
    return replace(row, details={**row.details, **details})


def _decide(path: str | Path, call: ToolCall | str, why: str, decision: Callable[[Row], Row]) -> None:
    wanted = call if isinstance(call, str) else call.id
    with Journal(path, None) as journal:
        waiting = {row.name: found for row in journal.rows() if (found := pending_in(row)) is not None}
        for name, found in waiting.items():
            row = journal.get(name)
            if (found.call.id, found.why) == (wanted, why) and row is not None:
                journal.put(decision(row))
                return
    what = "waits for approval" if why == "approval" else "is uncertain"
    there = ", ".join(f"{found.call.id} ({found.call.name}, {found.why})" for found in waiting.values()) or "none"
    raise ConfigurationError(f"no call {wanted!r} in {path} {what}; what waits for a decision: {there}")
