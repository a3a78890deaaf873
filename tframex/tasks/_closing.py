"""Running several awaitables concurrently within a limit, and closing async iterators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import anyio

from tframex.tasks._callbacks import ABORTS
from tframex.tasks._generators import begin

__all__ = ["Closing", "map_bounded"]

T = TypeVar("T")
R = TypeVar("R")


class Closing(Generic[T]):
    """Reads an async iterator and closes it on exit, if it can be closed.

    Closing an outer async generator does not close the inner one it was reading: without this at every level, a `break`
    leaves the server generating.

    The generator is not registered with the event loop, which would close it at the same moment as its outer one does.
    """

    __slots__ = ("_begun", "_iterator")

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator
        self._begun = False

    async def __aenter__(self) -> Closing[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()

    def __aiter__(self) -> Closing[T]:
        return self

    def __anext__(self) -> Awaitable[T]:
        if self._begun:
            return self._iterator.__anext__()
        self._begun = True
        return begin(self._iterator.__anext__)


async def map_bounded(function: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int) -> list[R]:
    """Await `function(item)` for every item, at most `limit` concurrently, and return the results in order.

    The first exception cancels the rest and is raised as it is, not in an exception group.
    """
    items = list(items)
    results: dict[int, R] = {}
    failure: list[BaseException] = []
    pending = iter(enumerate(items))

    async def work(group: anyio.abc.TaskGroup) -> None:
        # The workers share one iterator: `limit` tasks exist, however many items there are.
        for index, item in pending:
            try:
                results[index] = await function(item)
            except ABORTS as exc:
                failure.append(exc)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(min(limit, len(items))):
            group.start_soon(work, group)
    if failure:
        raise failure[0]
    return [results[index] for index in range(len(items))]
