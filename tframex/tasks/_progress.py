"""News from long work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True)
class Progress:
    """How far long work has come.

    Attributes:
        stage: What was just done, such as `"chunk"` or `"answer"`.
        done: Steps finished.
        total: Steps in all.
        failed: Steps that failed; they count as finished.
        detail: What it brought, for people to read: the summary so far, a file, an error.
        running: Calls in flight.
        tokens_per_second: How fast all answers together arrive, a token for each piece.
        seconds_left: How long it will take at this pace, or None if nobody knows.
    """

    stage: str
    done: int
    total: int
    failed: int = 0
    detail: str = ""
    running: int = 0
    tokens_per_second: float = 0.0
    seconds_left: float | None = None


ProgressCallback: TypeAlias = Callable[[Progress], None]
"""Called after each step, and by `MultiCallSystem` also twice a second. The calls come in order, one after the other,
from a worker thread: it may take its time, and use objects of `tframex.sync`; nothing waits for it but the end of the run.
What it raises ends the work."""
