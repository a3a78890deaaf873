"""From synchronous code to the asynchronous core.

One daemon thread owns one event loop for the whole process, started at first use. A call becomes a task on that loop;
an async iterator gets one pump task, which owns it from beginning to end (a cancel scope inside it must be left by the
task that entered it) and hands over what has gathered since the last time, not single items.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from tframex.errors import WrongLoopError
from tframex.tasks import Closing

__all__ = ["iterate", "run"]

T = TypeVar("T")

# On Windows a wait without a time limit cannot be interrupted by Ctrl-C.
_SLICE = 0.1 if sys.platform == "win32" else None
# How long an interrupted call may take to close its connection before the interrupt goes on.
_GRACE = 5.0
# A reader that is slower than the server makes the pump wait at this many items.
_AHEAD = 1024
# Seconds between two hand-overs of one iterator.
_APART = 0.001


def run(function: Callable[[], Awaitable[T]]) -> T:
    """Await `function()` on the loop thread and return its result; Ctrl-C cancels it."""
    return _bridge().run(function)


def iterate(function: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
    """Iterate over `function()`, which runs on the loop thread; closing the generator cancels it."""
    bridge = _bridge()
    bridge.refuse_own_thread()
    if bridge.over:
        yield from _iterate_here(function)
        return
    pump = _Pump(function)
    task = bridge.start(pump.run)
    # It may end without a word to the pump.
    task.add_done_callback(pump.stopped)
    try:
        while True:
            bridge.refuse_fork()
            items, end = pump.get()
            yield from items
            if end is not None:
                if end.error is not None:
                    raise end.error
                return
            pump.took(bridge.loop, len(items))
    finally:
        # Also after an early `break`: wait until the connection is closed, so that the server has stopped.
        bridge.cancel(task)


def _run_here(function: Callable[[], Awaitable[T]]) -> T:
    """Await on an event loop of this thread: the interpreter is going down, and the loop thread has ended."""

    async def work() -> T:
        return await function()

    loop = asyncio.new_event_loop()
    loop.set_default_executor(_Executor())
    try:
        return loop.run_until_complete(work())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _iterate_here(function: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
    """All items, then the error, if there was one."""
    items: list[T] = []

    async def collect() -> None:
        async with Closing(function()) as iterator:
            async for item in iterator:
                items.append(item)

    try:
        _run_here(collect)
    finally:
        yield from items


class _Executor(ThreadPoolExecutor):
    """Threads for what blocks, such as a name that is looked up; without them when the interpreter is going down."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return super().submit(function, *args, **kwargs)
        except RuntimeError:
            future: Future[Any] = Future()
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as exc:
                future.set_exception(exc)
            return future


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Pump(Generic[T]):
    """Moves the items of one async iterator into a queue that another thread reads."""

    def __init__(self, function: Callable[[], AsyncIterator[T]]) -> None:
        self._function = function
        self._queue: SimpleQueue[tuple[list[T], _End | None]] = SimpleQueue()
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
                        # Runs when this task waits for the network again, with all that one read brought; but not more
                        # than a thousand times a second, since waking a thread costs as much as many items.
                        self._scheduled = True
                        loop.call_at(self._flushed + _APART, self._flush)
                    self._put += 1
                    if self._put - self._taken >= _AHEAD:
                        await self._wait_for_room()
        except BaseException as exc:
            error = _bare(exc)
        self._flush(_End(error))

    async def _wait_for_room(self) -> None:
        self._room.clear()
        self._waiting = True
        # The reader may have taken everything before it could see that somebody waits.
        if self._put - self._taken >= _AHEAD:
            await self._room.wait()
        self._waiting = False

    def _flush(self, end: _End | None = None) -> None:
        self._scheduled = False
        self._flushed = self._loop.time()
        if self._items or end is not None:
            items, self._items = self._items, []
            self._queue.put((items, end))

    def stopped(self, work: Future[None]) -> None:
        error = work.exception()
        if error is not None:
            self._queue.put(([], _End(error)))

    def get(self) -> tuple[list[T], _End | None]:
        while True:
            try:
                return self._queue.get(timeout=_SLICE)
            except Empty:
                continue

    def took(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self._taken += count
        if self._waiting:
            loop.call_soon_threadsafe(self._room.set)


class _Bridge:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(_Executor())
        self.over = False
        """Whether the loop takes no more work."""
        self._pid = os.getpid()
        self._stopped = False
        self._works: set[_Work[Any]] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name="tframex", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._stopped:
            # asyncio lets SystemExit and KeyboardInterrupt of any task end the loop as well as that task.
            with suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
        for work in list(self._works):
            # Whoever waits for it would wait forever.
            work.abandon()

    def refuse_fork(self) -> None:
        if self._pid != os.getpid():
            raise WrongLoopError(
                "this iterator was begun in the process that this one was forked from, and its items arrive there. "
                "Begin a new one in this process."
            )

    def refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise WrongLoopError(
                "a tframex.sync object was called from TFrameX's own event loop (from a progress callback or from "
                "inside an asynchronous agent, say), where waiting would wait forever. Use the asynchronous classes there."
            )

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        self.refuse_own_thread()

        async def work() -> T:
            return await function()

        if self.over:
            # The interpreter is going down, and an exit handler calls or closes a model.
            return _run_here(function)
        future = self.start(work)
        try:
            return _wait(future)
        except BaseException:
            # Either the work's own exception, and then it has ended, or this thread was interrupted.
            self.cancel(future)
            raise

    def start(self, function: Callable[[], Coroutine[Any, Any, T]]) -> _Work[T]:
        """Make a task of a coroutine function, in the caller's context."""
        work = _Work(self.loop, function, contextvars.copy_context())
        with self._lock:
            if self.over:
                work.abandon()
            else:
                self._works.add(work)
                work.add_done_callback(self._works.discard)
                self.loop.call_soon_threadsafe(work.begin)
        return work

    def cancel(self, work: _Work[Any]) -> None:
        """Cancel a task and wait until it has ended."""
        if work.ended.is_set() or self._pid != os.getpid():
            return
        try:
            self.loop.call_soon_threadsafe(work.cancel_task)
        except RuntimeError:
            return  # The loop is closed: the interpreter is going down.
        if threading.current_thread() is not self._thread:
            work.ended.wait(_GRACE)

    def stop(self) -> None:
        """Cancel what runs, close what is open, and end the thread."""
        with self._lock:
            if self.over:
                return
            self.over = True

        async def wind_up() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.shutdown_asyncgens()

        # The callback runs on this thread if the loop is done first, and stop() alone does not wake the loop.
        winding_up = asyncio.run_coroutine_threadsafe(wind_up(), self.loop)
        winding_up.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self._end))
        self._thread.join(_GRACE)
        if not self._thread.is_alive():
            self.loop.close()

    def _end(self) -> None:
        self._stopped = True
        self.loop.stop()


class _Work(Future[T]):
    """A task on the loop thread, as another thread sees it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Coroutine[Any, Any, T]],
        context: contextvars.Context,
    ) -> None:
        super().__init__()
        self.ended = threading.Event()
        self._loop = loop
        self._function = function
        self._context = context
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = self._context.run(self._loop.create_task, self._main())
        self._task.add_done_callback(self._finish)

    def abandon(self) -> None:
        """End it for those who wait: the loop has ended."""
        if not self.done():
            self.set_exception(
                WrongLoopError(
                    "the interpreter is shutting down, and the background thread of tframex.sync has ended before this "
                    "call. Wait for the threads that make calls before the program ends: do not make them daemons."
                )
            )
        self.ended.set()

    def cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _main(self) -> None:
        # SystemExit or KeyboardInterrupt out of a task would end the loop for all later calls.
        try:
            self.set_result(await self._function())
        except BaseException as exc:
            self.set_exception(_bare(exc))

    def _finish(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never runs its body.
        if not self.done():
            self.set_exception(asyncio.CancelledError())
        self.ended.set()


def _bare(error: BaseException) -> BaseException:
    """SystemExit or KeyboardInterrupt out of a group as it is, as asyncio's own groups raise it; else the error."""
    exits = (leaf for leaf in _leaves(error) if isinstance(leaf, (SystemExit, KeyboardInterrupt)))
    return error if isinstance(error, Exception) else next(exits, error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # Python 3.10 has no exception groups; anyio uses those of a package.
    group = getattr(error, "exceptions", None)
    if not isinstance(group, tuple):
        yield error
        return
    for member in group:
        yield from _leaves(member)


def _wait(future: Future[T]) -> T:
    while True:
        try:
            return future.result(_SLICE)
        except FutureTimeoutError:
            # Of the slice, or the work's own.
            if future.done():
                return future.result()


_current: _Bridge | None = None
_lock = threading.Lock()


def _bridge() -> _Bridge:
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = _Bridge()
                atexit.register(_current.stop)
    return _current


def _forget() -> None:
    # A forked child has the loop but not its thread. The lock may be held by a thread that no longer exists.
    global _current, _lock
    if _current is not None:
        atexit.unregister(_current.stop)
    _current = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
