"""Running several awaitables at once with a bound, and leaving async iterators properly."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import anyio

from tframex.tasks._callbacks import ABORTS

__all__ = ["Closing", "map_bounded"]

T = TypeVar("T")
R = TypeVar("R")


class Closing(Generic[T]):
    """Reads an async iterator and closes it on the way out, if it can be closed.

    Closing an outer async generator does not close the inner one it was reading: without this, all the way down, a
    `break` leaves the server generating.

    The event loop does not get to know an inner generator. A loop that ends closes all those it knows at once, and an
    inner one that is closed by its outer one at the same moment would complain.
    """

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
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._iterator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)


async def map_bounded(function: Callable[[T], Awaitable[R]], items: Iterable[T], limit: int) -> list[R]:
    """Await `function(item)` for every item, at most `limit` at once, and return the results in order.

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
