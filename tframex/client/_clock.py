"""Time limits for single reads of a stream.

An anyio cancel scope around every read costs about 14 us on asyncio, more than all the rest of a token. There the
timer is armed once and moved only when it rings; on trio a scope is used.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator
from typing import TypeVar

import anyio

__all__ = ["ReadClock", "read_clock"]

T = TypeVar("T")


class ReadClock:
    """Reads an async iterator under a deadline, with a cancel scope for each read."""

    async def next(self, iterator: AsyncIterator[T], deadline: float) -> T:
        """The next item.

        Args:
            iterator: What to read.
            deadline: On the clock of `now()`; `math.inf` for no limit.

        Raises:
            TimeoutError: The deadline passed first.
            StopAsyncIteration: There is no next item.
        """
        with anyio.fail_after(None if deadline == math.inf else max(0.0, deadline - self.now())):
            return await iterator.__anext__()

    def now(self) -> float:
        """The time of the event loop, in seconds."""
        return anyio.current_time()

    def close(self) -> None:
        """Disarm the timer."""


class _AsyncioReadClock(ReadClock):
    """One timer for a whole stream: a read only notes its deadline (0.3 us)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time  # type: ignore[method-assign] # a bound C method; called at every read
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._rang = False

    async def next(self, iterator: AsyncIterator[T], deadline: float) -> T:
        if deadline != math.inf:
            self._deadline = deadline
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._ring)
            elif self._timer.when() > deadline:
                self._timer.cancel()
                self._timer = self._loop.call_at(deadline, self._ring)
            self._rang = False
            task = self._task = asyncio.current_task()
            if task is not None and sys.version_info >= (3, 11):
                self._cancelling = task.cancelling()
        try:
            return await iterator.__anext__()
        except asyncio.CancelledError:
            if self._rang and self._is_ours():
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        task = self._task
        if task is None:
            return  # Nobody is reading; the next read arms the timer again.
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._ring)
            return
        self._rang = True
        task.cancel()

    def _is_ours(self) -> bool:
        # A cancellation from outside may arrive in the same moment; it wins (as in asyncio.timeout).
        self._rang = False
        if sys.version_info >= (3, 11):
            task = asyncio.current_task()
            return task is not None and task.uncancel() <= self._cancelling
        return True


def read_clock() -> ReadClock:
    """The cheapest clock for the running event loop."""
    try:
        return _AsyncioReadClock()
    except RuntimeError:
        return ReadClock()
