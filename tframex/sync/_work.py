"""A task on the loop thread, and how another thread waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from tframex.errors import WrongLoopError

__all__ = ["SLICE", "Work", "bare", "wait"]

T = TypeVar("T")

# On Windows a wait without a time limit cannot be interrupted by Ctrl-C.
SLICE = 0.1 if sys.platform == "win32" else None


class Work(Future[T]):
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
            self.set_exception(bare(exc))

    def _finish(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never runs its body.
        if not self.done():
            self.set_exception(asyncio.CancelledError())
        self.ended.set()


def bare(error: BaseException) -> BaseException:
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


def wait(future: Future[T]) -> T:
    while True:
        try:
            return future.result(SLICE)
        except FutureTimeoutError:
            # Of the slice, or the work's own.
            if future.done():
                return future.result()
