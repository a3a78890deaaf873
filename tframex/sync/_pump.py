"""The items of an async iterator, on their way from the loop thread to the thread that reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tframex.sync._work import SLICE, bare
from tframex.tasks import Closing

__all__ = ["Pump"]

T = TypeVar("T")

# A reader that is slower than the server makes the pump wait at this many items.
_AHEAD = 1024
# Seconds between two hand-overs of one iterator.
_APART = 0.001


class End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pump(Generic[T]):
    """Moves the items of one async iterator into a queue that another thread reads."""

    def __init__(self, function: Callable[[], AsyncIterator[T]]) -> None:
        self._function = function
        self._queue: SimpleQueue[tuple[list[T], End | None]] = SimpleQueue()
        self._items: list[T] = []
        self._scheduled = False
        self._flushed = 0.0
        # Each number has one writer: a shared counter would lose updates between the two threads.
        self._put = 0
        self._taken = 0
        self._waiting = False
        self._room = asyncio.Event()

    async def run(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        error: BaseException | None = None
        try:
            async with Closing(self._function()) as iterator:
                async for item in iterator:
                    self._items.append(item)
                    if not self._scheduled:
                        # Runs when this task waits for the network again, with all that one read returned; but not more
                        # than a thousand times a second, since waking a thread costs as much as many items.
                        self._scheduled = True
                        loop.call_at(self._flushed + _APART, self._flush)
                    self._put += 1
                    if self._put - self._taken >= _AHEAD:
                        await self._wait_for_room()
        except BaseException as exc:
            error = bare(exc)
        self._flush(End(error))

    async def _wait_for_room(self) -> None:
        self._room.clear()
        self._waiting = True
        # The reader may have taken everything before it could see that the pump waits.
        if self._put - self._taken >= _AHEAD:
            await self._room.wait()
        self._waiting = False

    def _flush(self, end: End | None = None) -> None:
        self._scheduled = False
        self._flushed = self._loop.time()
        if self._items or end is not None:
            items, self._items = self._items, []
            self._queue.put((items, end))

    def stopped(self, work: Future[None]) -> None:
        error = work.exception()
        if error is not None:
            self._queue.put(([], End(error)))

    def get(self) -> tuple[list[T], End | None]:
        while True:
            try:
                return self._queue.get(timeout=SLICE)
            except Empty:
                continue

    def took(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self._taken += count
        if self._waiting:
            loop.call_soon_threadsafe(self._room.set)
