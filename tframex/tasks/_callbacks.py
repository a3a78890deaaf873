"""Calling functions that a user has passed in: judges, keys and progress callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

__all__ = ["ABORTS", "Reports", "call_user"]

T = TypeVar("T")

ABORTS = (Exception, SystemExit, KeyboardInterrupt)
"""What a user's function may raise. A child task hands these to its parent: on asyncio, a `SystemExit` from a child task
ends the event loop, and from a task group it arrives inside an exception group, which does not end the program."""

# How many reports wait for a slow function; beyond that, the oldest are dropped.
_MOST = 1000


async def call_user(function: Callable[..., Any], *arguments: Any, limiter: anyio.CapacityLimiter | None = None) -> Any:
    """Call a user's function: an asynchronous one is awaited, a synchronous one is called in a worker thread.

    So a synchronous one may be slow, and may use objects of `tframex.sync`, which wait for the event loop. A cancelled
    caller waits until the function has returned: no part of it runs after the run is over.

    Args:
        function: What to call.
        arguments: Its arguments.
        limiter: How many threads may be in use for such functions; by default anyio's own limiter.
    """
    if _is_async(function):
        return await function(*arguments)
    # A lambda may return a coroutine, which trio does not take from a thread by itself.
    (value,) = await anyio.to_thread.run_sync(lambda: (function(*arguments),), limiter=limiter)
    return await value if inspect.isawaitable(value) else value


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


class Reports(Generic[T]):
    """Passes reports to a user's function in a thread, one at a time and in order, without waiting for it.

    Make it on the event loop. It uses one thread, from the first report to the end of the run.

    Args:
        function: Receives the reports.
        failed: Called on the event loop when the function has raised; the function receives no further report.
    """

    def __init__(self, function: Callable[[T], object], failed: Callable[[], None] | None = None) -> None:
        self.error: BaseException | None = None
        """What the function has raised."""
        self._queue: SimpleQueue[tuple[T, bool] | None] = SimpleQueue()
        self._ended: anyio.Event | None = None
        self._function = function
        self._failed = failed
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
            drop: Drop the reports that the function has not received yet.
        """
        if self._ended is not None:
            while drop and not self._queue.empty():
                with suppress(Empty):
                    self._queue.get_nowait()
            self._queue.put(None)
            with anyio.CancelScope(shield=True):
                await self._ended.wait()
            self._ended = None

    def _start(self) -> None:
        self._ended = anyio.Event()
        native: Any = current_token().native_token
        soon = native.call_soon_threadsafe if isinstance(native, asyncio.AbstractEventLoop) else native.run_sync_soon
        # The thread must not keep this object alive: when it is garbage-collected, with its run, the thread ends.
        arguments = (weakref.ref(self), self._queue, self._function, soon, self._ended)
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


def _report(
    owner: weakref.ref[Reports[T]],
    queue: SimpleQueue[tuple[T, bool] | None],
    function: Callable[[T], object],
    soon: Callable[..., object],
    ended: anyio.Event,
) -> None:
    """What the thread runs."""
    broken = False
    while (item := queue.get()) is not None:
        report, passing = item
        if broken or queue.qsize() > _MOST or (passing and not queue.empty()):
            continue
        try:
            function(report)
        except BaseException as error:
            broken = True
            _on_loop(soon, _broken, owner, error)
    _on_loop(soon, ended.set)


def _broken(owner: weakref.ref[Reports[T]], error: BaseException) -> None:
    if (reports := owner()) is not None:
        reports._break(error)


def _on_loop(soon: Callable[..., object], function: Callable[..., object], *arguments: Any) -> None:
    # The loop may have ended together with the run, for example when it was stopped.
    with suppress(RuntimeError):
        soon(function, *arguments)
