"""Time limits for single waits of a stream: for the response, and for each read.

An anyio cancel scope around every read costs about 14 us on asyncio, more than all the rest of a token. There the
timer is armed once and moved only when it rings; on trio a scope is used.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["ReadClock", "read_clock"]

T = TypeVar("T")

# Seconds until a timer rings for the first time. The shortest deadline that is usual, that of the end of an answer.
_EARLY = 5.0


class ReadClock:
    """Waits under a deadline, with a cancel scope for each wait."""

    async def wait(self, awaitable: Awaitable[T], deadline: float) -> T:
        """Await something.

        Args:
            awaitable: What to wait for.
            deadline: On the clock of `now()`; `math.inf` for no limit.

        Raises:
            TimeoutError: The deadline passed first.
        """
        with anyio.fail_after(None if deadline == math.inf else max(0.0, deadline - self.now())):
            return await awaitable

    def bound(self, deadline: float, interrupt: Callable[[], None]) -> None:
        """End a wait that is none of `wait`; on asyncio alone. It costs a third of it, since no task has to be found.

        Args:
            deadline: On the clock of `now()`; `math.inf` for no limit.
            interrupt: Called when it passes, unless one of the two methods is called before. It must do nothing when there
                is no wait.
        """
        raise NotImplementedError

    def now(self) -> float:
        """The time of the event loop, in seconds."""
        return anyio.current_time()

    def close(self) -> None:
        """Disarm the timer."""


class _AsyncioReadClock(ReadClock):
    """One timer for all waits of a stream: a wait only notes its deadline (0.3 us)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time  # type: ignore[method-assign] # a bound C method; called at every wait
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf
        """When it rings."""
        self._deadline = math.inf
        self._interrupt: Callable[[], None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._rang = False

    async def wait(self, awaitable: Awaitable[T], deadline: float) -> T:
        self._interrupt = None
        if deadline != math.inf:
            self._deadline = deadline
            if self._armed > deadline:
                # It rings early rather than being armed again for each earlier deadline, of which each answer has three.
                self._arm(deadline if self._timer is not None else min(deadline, self.now() + _EARLY))
            self._rang = False
            task = self._task = asyncio.current_task()
            if task is not None and sys.version_info >= (3, 11):
                self._cancelling = task.cancelling()
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self._rang and self._is_ours():
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def bound(self, deadline: float, interrupt: Callable[[], None]) -> None:
        self._deadline = deadline
        self._interrupt = interrupt
        if self._armed > deadline:
            self._arm(deadline if self._timer is not None else min(deadline, self.now() + _EARLY))

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = moment
        self._timer = self._loop.call_at(moment, self._ring)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer, self._armed = None, math.inf
        task, interrupt = self._task, self._interrupt
        if task is None and interrupt is None:
            return  # No wait is under way; the next one arms the timer again.
        if self._loop.time() < self._deadline:
            if self._deadline != math.inf:
                self._arm(self._deadline)
            return
        if interrupt is not None:
            interrupt()
            return
        assert task is not None
        self._rang = True
        task.cancel()

    def _is_ours(self) -> bool:
        # A cancellation from outside may arrive at the same moment; it takes precedence (as in asyncio.timeout).
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
