"""Counts what many calls return, and reports it."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from tframex.tasks import Progress, ProgressCallback, Reports

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ProgressMeter"]

# Seconds between two reports while no call ends.
_APART = 0.5


class ProgressMeter:
    """The progress of many calls. Use it in an `async with` block: everything is reported when that is left.

    Args:
        total: How many calls there will be; 0 if that is unknown.
        progress: Called after each call, and twice a second while answers arrive; or None.
        done: How many an earlier run has finished.
    """

    def __init__(self, total: int, progress: ProgressCallback | None, *, done: int = 0) -> None:
        self.total = total
        self.done = self._earlier = done
        self.failed = 0
        self.running = 0
        self.peak = 0
        self.stop: Callable[[], None] | None = None
        """Called when the callback has raised: the work is to end."""
        self._reports = None if progress is None else Reports(progress, self._broke)
        self._pieces = 0
        self._began = self._reported = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    @property
    def broken(self) -> BaseException | None:
        """What the callback has raised."""
        return None if self._reports is None else self._reports.error

    def begin(self) -> float:
        """Note that a call was sent, and give the moment of it."""
        self.running += 1
        self.peak = max(self.peak, self.running)
        return self.seconds

    def piece(self, tokens: int = 1) -> None:
        """Note a piece of an answer, and how many tokens it is."""
        self._pieces += tokens
        # Looking at the clock costs as much as a third of a token.
        if self._reports is not None and time.perf_counter() - self._reported >= _APART:
            self._report("answers", "", passing=True)

    def end(self) -> None:
        """Note that a call is over."""
        self.running -= 1

    def finish(self, detail: str, *, failed: bool) -> None:
        """Note how a call ended."""
        self.done += 1
        self.failed += failed
        self._report("call", detail)

    def _report(self, stage: str, detail: str, *, passing: bool = False) -> None:
        if self._reports is not None and self._reports.error is None:
            self._reported = time.perf_counter()
            self._reports.put(self._state(stage, detail), passing=passing)

    def _broke(self) -> None:
        if self.stop is not None:
            self.stop()

    def _state(self, stage: str, detail: str) -> Progress:
        seconds = max(1e-9, self.seconds)
        new = self.done - self._earlier
        left = (self.total - self.done) * seconds / new if new and self.total else None
        return Progress(stage, self.done, self.total, self.failed, detail, self.running, self._pieces / seconds, left)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._reports is not None:
            await self._reports.close(drop=exc is not None)
