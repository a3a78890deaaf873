"""How a run's answers and calls are written in its journal."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tframex.completion import Choice, Completion, Timings, ToolCall, Usage
from tframex.files import Row

__all__ = ["RUN", "answer_row", "answer_step", "call_name", "call_of", "call_row", "completion_of"]

RUN = "run"
"""The name of the row that says what the run is."""

_ANSWER = "/answer"
_CALL = "/call/"


def answer_step(name: str) -> str | None:
    """The step whose answer a row is, or None if it is something else."""
    return name.removesuffix(_ANSWER) if name.endswith(_ANSWER) and _CALL not in name else None


def answer_row(step: str, completion: Completion) -> Row:
    """A complete answer."""
    # By name: a field that this version does not know of may hold anything.
    details = {name: msgspec.to_builtins(getattr(completion, name)) for name in _FIELDS}
    return Row(f"{step}{_ANSWER}", "", 0, 0, True, completion.text, 0, {"at": time.time(), **details})


_FIELDS = ("choices", "model_id", "usage", "timings", "retries", "resumes", "evidence")


class _Answer(msgspec.Struct):
    choices: tuple[Choice, ...]
    model_id: str
    usage: Usage | None
    timings: Timings
    retries: int
    resumes: int
    evidence: tuple[str, ...]


def completion_of(row: Row) -> Completion:
    """The complete answer in a row."""
    found = msgspec.convert(row.details, _Answer)
    return Completion(**{name: getattr(found, name) for name in _FIELDS})


def call_name(step: str, call_id: str) -> str:
    """The name of a call's row."""
    return f"{step}{_CALL}{call_id}"


def call_row(step: str, call: ToolCall, key: str, *, done: bool = False, text: str = "", **details: Any) -> Row:
    """A call: that waits (no key), has begun (a key), or is done."""
    written = {"at": time.time(), "step": step, "call": msgspec.to_builtins(call), **details}
    return Row(call_name(step, call.id), key, 0, 0, done, text, 0, written)


def call_of(row: Row) -> ToolCall | None:
    """The call in a row, or None if it is something else."""
    if _CALL not in row.name:
        return None
    return msgspec.convert(row.details["call"], ToolCall)
