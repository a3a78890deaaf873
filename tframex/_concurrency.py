"""Running several awaitables at once with a bound, and leaving async iterators properly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

__all__ = ["closing", "map_bounded"]

T = TypeVar("T")
R = TypeVar("R")


@asynccontextmanager
async def closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close an async iterator on the way out, if it can be closed.

    Closing an outer async generator does not close the inner one it was reading: without this, all the way down, a
    `break` leaves the server generating.
    """
    try:
        yield iterator
    finally:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()


async def map_bounded(function: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int) -> list[R]:
    """Await `function(item)` for every item, at most `limit` at once, and return the results in order.

    The first exception cancels the rest and is raised as it is, not in an exception group.
    """
    items = list(items)
    results: dict[int, R] = {}
    failure: list[Exception] = []
    pending = iter(enumerate(items))

    async def work(group: anyio.abc.TaskGroup) -> None:
        # The workers share one iterator: `limit` tasks exist, however many items there are.
        for index, item in pending:
            try:
                results[index] = await function(item)
            except Exception as exc:
                failure.append(exc)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(min(limit, len(items))):
            group.start_soon(work, group)
    if failure:
        raise failure[0]
    return [results[index] for index in range(len(items))]
