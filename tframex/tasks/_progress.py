"""Progress of long work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True)
class Progress:
    """How far a long run has got.

    Attributes:
        stage: What was just done, such as `"chunk"` or `"answer"`.
        done: Steps finished.
        total: Steps in all.
        failed: Steps that failed; they count as finished.
        detail: The result of what was just done, for people to read: the summary so far, a file, an error.
        running: Calls in flight.
        tokens_per_second: How fast all answers together arrive, counting each piece as one token.
        seconds_left: How long the rest will take at this pace, or None if unknown.
    """

    stage: str
    done: int
    total: int
    failed: int = 0
    detail: str = ""
    running: int = 0
    tokens_per_second: float = 0.0
    seconds_left: float | None = None


ProgressCallback: TypeAlias = Callable[[Progress], "Awaitable[None] | None"]
"""Called after each step, and by `MultiCallSystem` also twice a second. The calls are made in order, one at a time, from a
worker thread: the function may be slow, and may use objects of `tframex.sync`; only the end of the run waits for it. An
asynchronous one is awaited on the event loop of the run. An exception that it raises ends the run, and loses nothing that
was paid for: that is in the checkpoint, and on the error."""
