"""The model calls of a run, including those that a user's own `run` makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tframex.completion import Completion, Usage

__all__ = ["CallRecord", "is_recording", "note_call", "record_calls", "total_usage"]

_current: ContextVar[CallRecord | None] = ContextVar("tframex_call_record", default=None)


class CallRecord:
    """The completions of the model calls that have ended, in order."""

    def __init__(self) -> None:
        # By identity: a completion may be noted by `call` and by the `stream` that it reads.
        self._completions: dict[int, Completion] = {}

    @property
    def completions(self) -> tuple[Completion, ...]:
        """What the calls returned."""
        return tuple(self._completions.values())

    @property
    def usage(self) -> Usage | None:
        """Tokens that all of them took, or None if no endpoint reports them."""
        return total_usage(self._completions.values())

    def add(self, completion: Completion, instead_of: Iterable[Completion] = ()) -> None:
        """Note one more, in place of those that it includes."""
        for included in instead_of:
            self._completions.pop(id(included), None)
        self._completions[id(completion)] = completion


@contextmanager
def record_calls() -> Iterator[CallRecord]:
    """Record the model calls that are made in this block, by everything it calls and in every task it starts.

    Calls that run concurrently elsewhere are not recorded. A block inside another one is part of it. Do not `yield` inside
    the block: in an async generator the calls of its consumer would be recorded, too.
    """
    record = CallRecord()
    outer = _current.get()
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)
        if outer is not None:
            for completion in record.completions:
                outer.add(completion)


def is_recording() -> bool:
    """Whether this is part of a run whose calls are recorded."""
    return _current.get() is not None


def note_call(completion: Completion, instead_of: Iterable[Completion] = ()) -> None:
    """Add a call that has ended to the record of the run it was made in, if there is one.

    Args:
        completion: What it returned.
        instead_of: What has been noted and is included in it.
    """
    record = _current.get()
    if record is not None:
        record.add(completion, instead_of)


def total_usage(completions: Iterable[Completion]) -> Usage | None:
    """Tokens that these answers took together, or None if none reports them; estimated if only some report them."""
    usages = [completion.usage for completion in completions]
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        completion_tokens=sum(usage.completion_tokens for usage in known),
        cached_tokens=_sum(usage.cached_tokens for usage in known),
        reasoning_tokens=_sum(usage.reasoning_tokens for usage in known),
        estimated=len(known) < len(usages) or any(usage.estimated for usage in known),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
