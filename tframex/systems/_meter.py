"""Counts what many calls bring, and tells whoever wants to know."""

from __future__ import annotations

import time

from tframex.tasks import Progress, ProgressCallback

__all__ = ["ProgressMeter"]

# Seconds between two reports while no call ends.
_APART = 0.5


class ProgressMeter:
    """The progress of many calls.

    Args:
        total: How many calls there will be; 0 if nobody knows.
        progress: Called after each call, and twice a second while answers arrive; or None.
        done: How many an earlier run has finished.
    """

    def __init__(self, total: int, progress: ProgressCallback | None, *, done: int = 0) -> None:
        self.total = total
        self.done = self._earlier = done
        self.failed = 0
        self.running = 0
        self.peak = 0
        self.broken: Exception | None = None
        """What the callback has raised; it ends the work."""
        self._progress = progress
        self._pieces = 0
        self._began = self._reported = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    def begin(self) -> float:
        """Note that a call was sent, and give the moment of it."""
        self.running += 1
        self.peak = max(self.peak, self.running)
        return self.seconds

    def piece(self) -> None:
        """Note a piece of an answer."""
        self._pieces += 1
        # Looking at the clock costs as much as a third of a token.
        if self._progress is not None and time.perf_counter() - self._reported >= _APART:
            self._report("answers", "")

    def end(self) -> None:
        """Note that a call is over."""
        self.running -= 1

    def finish(self, detail: str, *, failed: bool) -> None:
        """Note what became of a call."""
        self.done += 1
        self.failed += failed
        self._report("call", detail)

    def _report(self, stage: str, detail: str) -> None:
        if self._progress is None:
            return
        self._reported = time.perf_counter()
        try:
            self._progress(self._state(stage, detail))
        except Exception as error:
            self.broken = error
            raise

    def _state(self, stage: str, detail: str) -> Progress:
        seconds = max(1e-9, self.seconds)
        new = self.done - self._earlier
        left = (self.total - self.done) * seconds / new if new and self.total else None
        return Progress(stage, self.done, self.total, self.failed, detail, self.running, self._pieces / seconds, left)
