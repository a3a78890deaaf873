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
    """

    stage: str
    done: int
    total: int
    failed: int = 0
    detail: str = ""


ProgressCallback: TypeAlias = Callable[[Progress], None]
"""Called after each step, on the event loop's thread: it should return soon. What it raises ends the work."""
