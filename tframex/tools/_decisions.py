"""What ends a run until a person has decided."""

from __future__ import annotations

from collections.abc import Sequence

from tframex.completion import ToolCall
from tframex.errors import ApprovalNeeded, UncertainCallError
from tframex.tools._recorder import CallRecorder

__all__ = ["approval_needed", "uncertain"]

_LONGEST = 300


def approval_needed(calls: Sequence[ToolCall], recorder: CallRecorder) -> ApprovalNeeded:
    """The error for calls that wait for approval."""
    how = (
        f"Decide with `tframex runs {recorder.path}`, or tframex.tools.approve and deny, and run again with the same "
        "checkpoint."
        if recorder.path
        else "Give the run a checkpoint, in which the decision can be written, and run again."
    )
    return ApprovalNeeded(
        f"{_listed(calls)} {'waits' if len(calls) == 1 else 'wait'} for approval; nothing of this step has run. {how}",
        tool=calls[0].name,
        calls=tuple(calls),
        path=recorder.path,
    )


def uncertain(calls: Sequence[ToolCall], recorder: CallRecorder, known: str = "") -> UncertainCallError:
    """The error for calls that may have taken effect."""
    return UncertainCallError(
        f"{_listed(calls)} had begun when an earlier run ended, and may have taken effect or not"
        f"{f' ({known})' if known else ''}. Look, and decide with `tframex runs {recorder.path}` or tframex.tools.resolve: "
        "its result if it has happened, retry if it has not. A tool that may be called again says so with "
        'tool(on_uncertain="retry").',
        tool=calls[0].name,
        calls=tuple(calls),
        path=recorder.path,
    )


def _listed(calls: Sequence[ToolCall]) -> str:
    return ", ".join(f"{call.name}({_short(call.arguments)})" for call in calls)


def _short(arguments: str) -> str:
    # The error has the calls, complete.
    return arguments if len(arguments) <= _LONGEST else f"{arguments[:_LONGEST]}..."
