"""Work that reports while it runs, as an async iterator."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio

from tframex.tasks._spawning import spawn

__all__ = ["emitted"]

T = TypeVar("T")


async def emitted(work: Callable[[Callable[[T], None]], Awaitable[object]]) -> AsyncGenerator[T, None]:
    """What `work` emits, in order, while it runs in its own task beside the reader.

    The work may do several things concurrently. No task group is open where this yields: a scope inside a generator
    could be left in another order, or by another task, than it was entered. An exception of the work is raised to the
    reader, even `SystemExit`, which would end the event loop if a task raised it. Closing the iterator cancels the work
    and waits until it has ended.

    Args:
        work: Called with a function that passes an item to the reader, and awaited.
    """
    items: deque[T] = deque()
    failures: list[BaseException] = []
    scope, ended, news = anyio.CancelScope(), anyio.Event(), [anyio.Event()]

    def emit(item: T) -> None:
        items.append(item)
        news[0].set()

    async def run() -> None:
        try:
            with scope:
                await work(emit)
        except BaseException as error:
            failures.append(error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise

    def end() -> None:
        ended.set()
        news[0].set()

    task = spawn(run, end)
    try:
        while True:
            while items:
                yield items.popleft()
            if ended.is_set():
                break
            await news[0].wait()
            news[0] = anyio.Event()
        if failures:
            raise failures[0]
    finally:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await ended.wait()
        del task
