"""A body that an HTTP library hands out in pieces."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio

from tframex.exchange._body import Body, is_plain, tap_of
from tframex.exchange._clock import ReadClock
from tframex.exchange._peek import peek_of, readable_of
from tframex.tasks import Begun

__all__ = ["body_of"]

_LEFT = 1.0
# How often is looked whether something has arrived, where a wait for it cannot be ended.
_SLICE = 0.25


def body_of(response: Any, clock: ReadClock) -> Body:
    """The body of a response, read as directly as it can be.

    Args:
        response: An `httpx2` or `httpx` response whose body is unread.
        clock: For the time limits.
    """
    tap = tap_of(response)
    return PieceBody(response, clock) if tap is None else tap.body(response, clock)


class PieceBody(Body):
    """Reads any body, also one that is compressed, or mocked.

    Args:
        response: An `httpx2` or `httpx` response whose body is unread.
        clock: For the time limits.
    """

    __slots__ = ("_data", "_next", "_peek", "_pieces", "_readable")

    def __init__(self, response: Any, clock: ReadClock) -> None:
        super().__init__(response, clock)
        self._readable = readable_of(response)
        self._peek = peek_of(response.stream) if self._readable is not None else None
        self._pieces: AsyncIterator[bytes] = aiter(response.stream if is_plain(response) else response.aiter_bytes())
        self._data: bytes | None = None
        self._next: Callable[[], Awaitable[bytes]] = self._begin

    def _begin(self) -> Awaitable[bytes]:
        self._next = self._pieces.__anext__
        return Begun(self._next)

    def arrival(self, deadline: float, due: float = math.inf) -> Awaitable[None] | None:
        return self._fetch(deadline, due) if self._data is None else None

    async def _fetch(self, deadline: float, due: float) -> None:
        if due != math.inf:
            await self._found(min(due, deadline))
        try:
            # An empty piece is not the end.
            self._data = await self._clock.wait(self._next(), deadline) or None
        except StopAsyncIteration:
            self._data = b""

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        return data

    async def _found(self, due: float) -> None:
        # A read that is ended would end the body: its layers are generators.
        assert self._peek is not None
        assert self._readable is not None
        while not (self._peek() or self._readable()):
            wait = due - self._clock.now()
            if wait <= 0:
                raise TimeoutError
            await anyio.sleep(min(wait, _SLICE))

    def hold(self, until: float) -> bool:
        # What one read returns, 64 KiB, may not have been all.
        return self._readable is None or self._peek is None or self._readable()

    def more(self) -> bool | None:
        return None if self._peek is None else self._peek()

    async def _close(self) -> None:
        with suppress(Exception):
            await self._response.aclose()
        # The layers below read each other through generators that are not closed. Reading further from the closed
        # connection ends all of them; otherwise trio complains about them.
        with anyio.move_on_after(_LEFT):
            async for _left in self._pieces:
                pass
