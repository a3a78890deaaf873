"""From synchronous code to the asynchronous core.

One daemon thread owns one event loop for the process, started at first use. A call becomes a task on that loop;
an async iterator gets one pump task, which owns it from beginning to end (a cancel scope inside it must be left by the
task that entered it) and hands over what has gathered since the last time, not single items.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, TypeVar

from tframex.errors import WrongLoopError
from tframex.sync._at_exit import Executor, is_shutdown, iterate_here, run_here
from tframex.sync._loop import new_loop
from tframex.sync._pump import Pump
from tframex.sync._work import Work, wait

__all__ = ["iterate", "run"]

T = TypeVar("T")

# How long an interrupted call may take to close its connection before the interrupt is raised.
_GRACE = 5.0


def run(function: Callable[[], Awaitable[T]]) -> T:
    """Await `function()` on the loop thread and return its result; Ctrl-C cancels it."""
    return _bridge().run(function)


def iterate(function: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
    """Iterate over `function()`, which runs on the loop thread; closing the generator cancels it."""
    bridge = _bridge()
    bridge.refuse_own_thread()
    if bridge.over:
        yield from iterate_here(function)
        return
    pump = Pump(function)
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


class _Bridge:
    def __init__(self) -> None:
        self.loop = new_loop()
        self.loop.set_default_executor(Executor())
        self.over = False
        """Whether the loop takes no more work."""
        self._pid = os.getpid()
        self._stopped = False
        self._works: set[Work[Any]] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name="tframex", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:
            self.loop.close()
            if not is_shutdown(exc):
                raise WrongLoopError(
                    f"the background thread of tframex.sync could not be started: {exc}. The process or the "
                    "system has reached its limit of threads (ulimit -u, or the container's): end some, or raise it."
                ) from exc
            # The first call of a program whose interpreter is going down: it runs on the caller's thread.
            self.over = True

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._stopped:
            # asyncio lets SystemExit and KeyboardInterrupt of any task end the loop as well as that task.
            with suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
        for work in list(self._works):
            # Otherwise the thread that waits for it would never wake up.
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
                "a tframex.sync object was called from TFrameX's own event loop (from inside an asynchronous agent or "
                "judge, say), where waiting would never end. Use the asynchronous classes there."
            )

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        self.refuse_own_thread()

        async def work() -> T:
            return await function()

        if self.over:
            # The interpreter is going down, and an exit handler calls or closes a model.
            return run_here(function)
        future = self.start(work)
        try:
            return wait(future)
        except BaseException:
            # Either the work's own exception, and then it has ended, or this thread was interrupted.
            self.cancel(future)
            raise

    def start(self, function: Callable[[], Coroutine[Any, Any, T]]) -> Work[T]:
        """Make a task of a coroutine function, in the caller's context."""
        work = Work(self.loop, function, contextvars.copy_context())
        with self._lock:
            if self.over:
                work.abandon()
            else:
                self._works.add(work)
                work.add_done_callback(self._works.discard)
                self.loop.call_soon_threadsafe(work.begin)
        return work

    def cancel(self, work: Work[Any]) -> None:
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


_current: _Bridge | None = None
_lock = threading.Lock()


def _bridge() -> _Bridge:
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                bridge = _Bridge()
                if not bridge.over:
                    atexit.register(bridge.stop)
                _current = bridge
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
