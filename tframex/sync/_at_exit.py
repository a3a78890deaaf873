"""Calls while the interpreter goes down, when the loop thread has ended and no thread can be started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tframex.errors import WrongLoopError
from tframex.tasks import Closing

__all__ = ["Executor", "is_shutdown", "iterate_here", "run_here"]

T = TypeVar("T")


def run_here(function: Callable[[], Awaitable[T]]) -> T:
    """Await on an event loop of this thread: the interpreter is going down, and the loop thread has ended."""

    async def work() -> T:
        return await function()

    loop = asyncio.new_event_loop()
    loop.set_default_executor(Executor())
    try:
        return loop.run_until_complete(work())
    except RuntimeError as exc:
        if is_shutdown(exc):
            raise WrongLoopError(
                "the interpreter is shutting down, and this call needs a thread (for a checkpoint, a file or your "
                "function), which Python no longer starts then. Call before the program ends, not in an exit handler."
            ) from exc
        raise
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def iterate_here(function: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
    """All items, then the error, if there was one."""
    items: list[T] = []

    async def collect() -> None:
        async with Closing(function()) as iterator:
            async for item in iterator:
                items.append(item)

    try:
        run_here(collect)
    finally:
        yield from items


def is_shutdown(error: RuntimeError) -> bool:
    """Whether a thread could not be started because the interpreter is going down (Python 3.12 and later)."""
    return "interpreter shutdown" in str(error)


class Executor(ThreadPoolExecutor):
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
