"""What a run's journal says of it, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tframex.completion import ToolCall
from tframex.errors import CheckpointError
from tframex.files import Row, is_in_use, read_journal
from tframex.tools._pending import PendingCall, pending_in
from tframex.tools._rows import RUN, answer_step, call_of

__all__ = ["RecordedAnswer", "RecordedResult", "RunRecord", "read_run"]


@dataclass(frozen=True)
class RecordedAnswer:
    """An answer of the model.

    Attributes:
        step: The step of the run.
        text: The text.
        calls: The calls that it asks for.
    """

    step: str
    text: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class RecordedResult:
    """A call, and what became of it.

    Attributes:
        step: The step of the run.
        call: The call.
        state: `"done"`, `"failed"`, `"denied"`, `"approved"`, `"approval"` (it waits for that) or `"uncertain"`.
        content: The result, as the model reads it.
    """

    step: str
    call: ToolCall
    state: Literal["done", "failed", "denied", "approved", "approval", "uncertain"]
    content: str


@dataclass(frozen=True)
class RunRecord:
    """A run, as its journal has it.

    Attributes:
        run_id: The run.
        agent_id: The agent.
        prompt: What it was asked; empty if that was not text.
        began: When it began, in seconds since 1970.
        state: `"running"`, `"waiting"` (for a decision), `"finished"`, or `"stopped"` (starting it again continues it).
        result: Its result, if it has finished.
        answers: The model's answers, in order.
        results: The calls that have begun or wait, by when they were last written.
        pending: The calls that wait for a decision.
    """

    run_id: str
    agent_id: str
    prompt: str
    began: float
    state: Literal["running", "waiting", "finished", "stopped"]
    result: str
    answers: tuple[RecordedAnswer, ...]
    results: tuple[RecordedResult, ...]
    pending: tuple[PendingCall, ...]


def read_run(path: str | Path) -> RunRecord:
    """What a checkpoint of an agent says of its run. A run that is alive is not disturbed.

    Args:
        path: The checkpoint.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or it is none of an agent's run.
    """
    rows = {row.name: row for row in read_journal(path)}
    run = rows.pop(RUN, None)
    if run is None:
        raise CheckpointError(f"{path} is no checkpoint of an agent's run", path=str(path))
    answers = sorted((row for row in rows.values() if answer_step(row.name) is not None), key=_at)
    results = sorted((row for row in rows.values() if call_of(row) is not None), key=_at)
    pending = [found for row in results if (found := pending_in(row)) is not None]
    alive = is_in_use(path)
    return RunRecord(
        run.details["run_id"],
        run.details["agent_id"],
        run.text,
        run.details["began"],
        "running" if alive else "finished" if run.done else "waiting" if pending else "stopped",
        run.details.get("result", ""),
        tuple(_answer(row) for row in answers),
        tuple(_result(row) for row in results),
        () if alive else tuple(pending),
    )


def _at(row: Row) -> float:
    return float(row.details.get("began", row.details.get("at", 0.0)))


def _answer(row: Row) -> RecordedAnswer:
    calls = row.details["choices"][0]["tool_calls"]
    return RecordedAnswer(answer_step(row.name) or "", row.text, tuple(ToolCall(**call) for call in calls))


def _result(row: Row) -> RecordedResult:
    call = call_of(row)
    if call is None:
        raise AssertionError(row.name)
    state: Literal["done", "failed", "denied", "approved", "approval", "uncertain"]
    if row.done:
        state = "denied" if row.details.get("denied") else "failed" if row.details.get("failed") else "done"
    elif row.details.get("decided"):
        state = "approved"
    else:
        state = "uncertain" if row.key else "approval"
    return RecordedResult(row.details["step"], call, state, row.text)
