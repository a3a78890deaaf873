"""Reports that a user's function receives while work is done."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token

__all__ = ["Reports"]

T = TypeVar("T")

# How many reports wait for a slow function; beyond that, the oldest are dropped.
_MOST = 1000


class Reports(Generic[T]):
    """Passes reports to a user's function, one at a time and in order, without waiting for it.

    The function is called in a thread; what it returns is awaited on the event loop, if it can be. Make the object on that
    loop. It uses one thread, from the first report to the end of the run.

    Args:
        function: Receives the reports.
        failed: Called on the event loop when the function has raised; the function receives no further report.
    """

    def __init__(
        self, function: Callable[[T], Awaitable[object] | object], failed: Callable[[], None] | None = None
    ) -> None:
        self.error: BaseException | None = None
        """What the function has raised."""
        self._queue: SimpleQueue[tuple[T, bool] | None] = SimpleQueue()
        self._ended: anyio.Event | None = None
        self._function = function
        self._failed = failed
        self._loop: _Loop | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def put(self, report: T, *, passing: bool = False) -> None:
        """Report; raises what the function raised at an earlier report.

        Args:
            report: What to report.
            passing: The next report contains all of this one, which is dropped if the next is already waiting.
        """
        if self.error is not None:
            raise self.error
        if self._ended is None:
            self._start()
        self._queue.put((report, passing))

    async def finish(self) -> None:
        """Wait until everything is reported; raises what the function raised."""
        await self.close(drop=False)
        if self.error is not None:
            raise self.error

    async def close(self, *, drop: bool = True) -> None:
        """End the thread, when the function has returned.

        Args:
            drop: Drop the reports that the function has not received yet, and cancel an asynchronous function.
        """
        if self._ended is None:
            return
        self._queue.put(None)
        try:
            if not drop:
                await self._ended.wait()
        except BaseException:
            drop = True
            raise
        finally:
            if drop:
                self._drop()
                # A slow function is waited for also when the run is cancelled: nothing of it runs when that is over.
                with anyio.CancelScope(shield=True):
                    await self._ended.wait()
            self._ended = None

    def _drop(self) -> None:
        while not self._queue.empty():
            with suppress(Empty):
                self._queue.get_nowait()
        self._queue.put(None)
        if self._loop is not None:
            self._loop.drop()

    def _start(self) -> None:
        self._ended = anyio.Event()
        self._loop = _Loop()
        # The thread must not keep this object alive: when it is garbage-collected, with its run, the thread ends.
        arguments = (weakref.ref(self), self._queue, self._function, self._loop, self._ended)
        context = contextvars.copy_context()
        # The thread runs no event loop, whatever the copied context says: with trio's, tframex.sync would take its own loop
        # for a trio loop.
        if (sniffio := sys.modules.get("sniffio")) is not None:
            context.run(sniffio.current_async_library_cvar.set, None)
        threading.Thread(target=context.run, args=(_report, *arguments), name="tframex progress", daemon=True).start()
        self._finalizer = weakref.finalize(self, self._queue.put, None)
        self._finalizer.atexit = False

    def _break(self, error: BaseException) -> None:
        self.error = error
        if self._failed is not None:
            self._failed()


class _Loop:
    """The event loop of a run, as the thread that reports sees it."""

    def __init__(self) -> None:
        self._native: Any = current_token().native_token
        self._asyncio = isinstance(self._native, asyncio.AbstractEventLoop)
        self._context = contextvars.copy_context()
        self._scope: anyio.CancelScope | None = None
        self._task: object = None
        self._dropped = False

    def call(self, function: Callable[..., object], *arguments: Any) -> bool:
        """Call a function there; False if the loop has ended together with the run, for example when it was stopped."""
        try:
            if self._asyncio:
                self._native.call_soon_threadsafe(function, *arguments)
            else:
                self._native.run_sync_soon(function, *arguments)
        except RuntimeError:
            return False
        return True

    def wait_for(self, awaitable: Awaitable[object]) -> None:
        """Await something there, while the calling thread waits for it; raises what it raises."""
        ended = threading.Event()
        failures: list[BaseException] = []

        async def run() -> None:
            try:
                with anyio.CancelScope() as self._scope:
                    if self._dropped:
                        self._scope.cancel()
                    await awaitable
            except BaseException as error:
                if isinstance(error, anyio.get_cancelled_exc_class()):
                    raise
                failures.append(error)
            finally:
                ended.set()

        if self.call(self._context.run, self._begin, run):
            ended.wait()
            self._task = self._scope = None
        elif inspect.iscoroutine(awaitable):
            awaitable.close()
        if failures:
            raise failures[0]

    def _begin(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # No task runs here, so that anyio does not know the loop.
        if self._asyncio:
            self._task = self._native.create_task(run())
        else:
            import trio

            self._task = trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())

    def drop(self) -> None:
        """Cancel what is awaited; called on the loop."""
        self._dropped = True
        if self._scope is not None:
            self._scope.cancel()


def _report(
    owner: weakref.ref[Reports[T]],
    queue: SimpleQueue[tuple[T, bool] | None],
    function: Callable[[T], Awaitable[object] | object],
    loop: _Loop,
    ended: anyio.Event,
) -> None:
    """What the thread runs."""
    broken = False
    while (item := queue.get()) is not None:
        report, passing = item
        if broken or queue.qsize() > _MOST or (passing and not queue.empty()):
            continue
        try:
            value = function(report)
            if inspect.isawaitable(value):
                loop.wait_for(value)
        except BaseException as error:
            broken = True
            loop.call(_broken, owner, error)
    loop.call(ended.set)


def _broken(owner: weakref.ref[Reports[T]], error: BaseException) -> None:
    if (reports := owner()) is not None:
        reports._break(error)
