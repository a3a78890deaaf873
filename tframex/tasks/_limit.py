"""How many calls may be in flight: a fixed number."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from tframex.errors import WrongLoopError
from tframex.tasks._running import is_running, now, task_id

__all__ = ["OF_MANY", "Limit", "Place"]

OF_MANY: ContextVar[bool] = ContextVar("tframex_of_many", default=False)
"""Whether the calls that are made here are those of one run among many: they wait as the calls of a system do."""


class Limit:
    """Lets at most `limit` calls be in flight; the others wait for their turn, in order.

    There are two kinds of calls. One of many (a system's) waits while `limit` calls are in flight; a single one, whose
    caller waits for it, only while `maximum` are. Both kinds count. A call made in a task that already holds a place uses
    that place, so that it never waits for itself.

    Args:
        maximum: The most calls in flight; None is no limit.
    """

    def __init__(self, maximum: int | None) -> None:
        self.maximum = math.inf if maximum is None else maximum
        self.refusals = 0
        """How many requests the server has refused."""
        self._entered = 0
        self._queue = _Queue()

    @property
    def limit(self) -> float:
        """How many calls may be in flight now."""
        return self.maximum

    @property
    def in_flight(self) -> int:
        """How many calls are in flight now."""
        return self._queue.in_flight

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Wait for a place for one of many calls, and hold it.

        Raises:
            WrongLoopError: Calls of another event loop are in flight.
        """
        queue = self._queue_of_this_loop()
        if queue.in_flight < self.limit and not queue.many:
            queue.in_flight += 1
        else:
            await self._wait(queue, queue.many)
        place = self._place(queue, holder=task_id())
        try:
            yield place
        finally:
            place.leave()

    async def enter(self) -> Place:
        """Wait for a place for a single call; the caller must call its `leave`.

        Raises:
            WrongLoopError: Calls of another event loop are in flight.
        """
        queue = self._queue_of_this_loop()
        if queue.holders and task_id() in queue.holders:
            return Place(self, None, self._entered)
        most, waiting = (self.limit, queue.many) if OF_MANY.get() else (self.maximum, queue.single)
        if queue.in_flight < most and not waiting:
            queue.in_flight += 1
        else:
            await self._wait(queue, waiting)
        return self._place(queue)

    def _place(self, queue: _Queue, holder: int | None = None) -> Place:
        self._entered += 1
        return Place(self, queue, self._entered, holder)

    def _queue_of_this_loop(self) -> _Queue:
        if not is_running(self._queue.token):
            if self._queue.in_flight and not self._queue.gone():
                raise WrongLoopError(
                    "calls of another event loop are in flight on this model or system. One object belongs to one loop "
                    "at a time: make one for each loop, or use tframex.sync from threads.",
                    model_id="",
                )
            self._queue = _Queue(current_token())
        return self._queue

    async def _wait(self, queue: _Queue, waiting: dict[anyio.Event, int]) -> None:
        turn = anyio.Event()
        queue.arrived += 1
        waiting[turn] = queue.arrived
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # This call was given its place at the moment at which it was cancelled.
                self._leave(queue)
            else:
                del waiting[turn]
            raise

    def _leave(self, queue: _Queue) -> None:
        queue.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        self._queue.admit(self.limit, self.maximum)

    def accepted(self, wait: float, number: int) -> None:
        """Note the first token of call `number`, which waited for it for `wait` seconds."""

    def refused(self) -> None:
        """Note a request that the server refused."""
        self.refusals += 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_flight} of {self.limit} in flight)"


class _Queue:
    """The calls in flight and those that wait, on one event loop."""

    def __init__(self, token: EventLoopToken | None = None) -> None:
        self.token = token
        self.in_flight = 0
        self.arrived = 0
        self.many: dict[anyio.Event, int] = {}
        """The waiting calls of systems, each with its number in order of arrival."""
        self.single: dict[anyio.Event, int] = {}
        """The waiting single calls, each with its number in order of arrival."""
        self.holders: dict[int, int] = {}
        """The tasks that hold places for one of many calls, and how many each holds."""
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[type[_Queue], tuple[()]]:
        # A copy, in this process or another, has no calls in flight or waiting.
        return _Queue, ()

    def admit(self, limit: float, maximum: float) -> None:
        """Give free places to waiting calls, in order of arrival among those that may have one."""
        while True:
            many = next(iter(self.many.items()), None) if self.in_flight < limit else None
            single = next(iter(self.single.items()), None) if self.in_flight < maximum else None
            if many is None and single is None:
                return
            if single is None or (many is not None and many[1] < single[1]):
                turn = next(iter(self.many))
                del self.many[turn]
            else:
                turn = next(iter(self.single))
                del self.single[turn]
            self.in_flight += 1
            turn.set()

    def gone(self) -> bool:
        """Whether the loop is closed, or belongs to the process that this one was forked from."""
        loop = self.token.native_token if self.token is not None else None
        return self._pid != os.getpid() or (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


class Place:
    """One call's place among those in flight.

    Args:
        limit: The limit it belongs to.
        queue: The queue it was taken from; None: it shares the place that this task already holds.
        number: The number of the call, counted by its limit.
        holder: The task whose calls may use it.
    """

    def __init__(self, limit: Limit, queue: _Queue | None, number: int, holder: int | None = None) -> None:
        self._limit = limit
        self._queue = queue
        self._number = number
        self._holder = holder
        self._sent = now()
        self._answered = False
        if queue is not None and holder is not None:
            queue.holders[holder] = queue.holders.get(holder, 0) + 1

    def answered(self) -> None:
        """Note that a part of the answer has arrived; only the first time counts."""
        if not self._answered:
            self._answered = True
            self._limit.accepted(now() - self._sent, self._number)

    def leave(self) -> None:
        """Give the place back. Further calls do nothing."""
        queue, self._queue = self._queue, None
        if queue is None:
            return
        if self._holder is not None:
            queue.holders[self._holder] -= 1
            if not queue.holders[self._holder]:
                del queue.holders[self._holder]
        self._limit._leave(queue)
