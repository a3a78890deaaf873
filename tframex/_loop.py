"""What belongs to one event loop, and how to notice that the loop has ended."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

__all__ = ["LoopBound"]

T = TypeVar("T")

# A forked child inherits sockets that its parent goes on using. Closing them, even by garbage collection, would speak on
# the parent's connections (and log "Unclosed client session"), so they are kept and never touched.
_inherited: list[object] = []


class LoopBound(Generic[T]):
    """A resource that lives on one event loop at a time.

    It is made at first use and closed when its loop ends: `asyncio.run` and `trio.run` close the async generators that
    are still suspended, and one such generator holds the resource. A later loop gets a new one.

    Args:
        make: Makes the resource; called on the loop that needs it.
        close: Closes it; awaited on the loop that made it.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._resource: T | None = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._token: EventLoopToken | None = None
        self._pid = 0

    async def get(self) -> T | None:
        """The resource of the running loop, or None if it belongs to another loop that is still alive."""
        token = current_token()
        if self._resource is not None:
            if self._pid != os.getpid():
                _inherited.extend((self._resource, self._keeper))
                self._forget()
            elif self._token == token:
                return self._resource
            elif not self._ended():
                return None
            else:
                self._forget()
        resource = self._make()
        self._resource, self._token, self._pid = resource, token, os.getpid()
        self._keeper = self._keep(resource)
        await self._keeper.__anext__()
        return resource

    async def aclose(self) -> None:
        """Close the resource, if there is one on the running loop; one of an ended loop is forgotten."""
        if self._keeper is None:
            return
        if self._pid == os.getpid() and self._token == current_token():
            await self._keeper.aclose()
        elif self._pid != os.getpid():
            _inherited.extend((self._resource, self._keeper))
        self._forget()

    async def _keep(self, resource: T) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._resource is resource:
                self._forget()
            with anyio.CancelScope(shield=True):
                await self._close(resource)

    def _ended(self) -> bool:
        # The keeper of an orderly ended loop has forgotten its resource already; this is for a loop that was closed
        # without a word (`loop.close()`).
        is_closed = getattr(self._token.native_token, "is_closed", None) if self._token else None
        return bool(is_closed and is_closed())

    def _forget(self) -> None:
        self._resource = self._keeper = self._token = None
