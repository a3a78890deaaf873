"""What belongs to one event loop, and how to notice that the loop has ended."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

__all__ = ["LoopBound"]

T = TypeVar("T")


class LoopBound(Generic[T]):
    """A resource that lives on one event loop at a time.

    It is made at first use and closed when it is let go or its loop ends: `asyncio.run` and `trio.run` close the async
    generators that are still suspended, and one such generator holds the resource. A later loop gets a new one.

    Args:
        make: Makes the resource; called on the loop that needs it.
        close: Closes it; awaited on the loop that made it. It must not refer to the owner of this object.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: _Held[T] | None = None

    async def get(self) -> T | None:
        """The resource of the running loop, or None if it belongs to another loop that is still alive."""
        held = self._held
        if held is not None and not held.gone():
            return held.resource if held.token == current_token() else None
        for left in [left for left in _open if left.loop_is_closed()]:
            _open.discard(left)
        held = self._held = _Held(self._make(), self._close)
        await held.keeper.__anext__()
        weakref.finalize(self, held.let_go).atexit = False
        return held.resource

    async def aclose(self) -> None:
        """Close the resource of the running loop; that of an ended loop is forgotten, that of another live one kept."""
        held = self._held
        if held is None:
            return
        if held.gone():
            self._held = None
        elif held.token == current_token():
            self._held = None
            await held.keeper.aclose()


class _Held(Generic[T]):
    """A resource, its loop, and the generator that closes it."""

    def __init__(self, resource: T, close: Callable[[T], Awaitable[None]]) -> None:
        self.resource = resource
        self.token: EventLoopToken = current_token()
        self.keeper = self._keep(close)
        self._pid = os.getpid()
        # Somebody must hold it until it is closed: garbage collection of a connection complains, and in a forked child
        # it would speak on its parent's sockets.
        _open.add(self)

    async def _keep(self, close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _open.discard(self)
            with anyio.CancelScope(shield=True):
                await close(self.resource)

    def gone(self) -> bool:
        """Whether its loop has ended, or is that of the process this one was forked from."""
        return self not in _open or self._pid != os.getpid() or self.loop_is_closed()

    def loop_is_closed(self) -> bool:
        """Whether its loop was closed without a word; an orderly ended loop has closed the keeper."""
        loop = self.token.native_token
        return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()

    def let_go(self) -> None:
        """Close it soon: its owner is gone. On trio it stays open until the loop ends."""
        loop = self.token.native_token
        if not self.gone() and isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(self._close_soon, loop)

    def _close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self.keeper.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_open: set[_Held[Any]] = set()
_closing: set[asyncio.Task[None]] = set()
