"""A resource of one event loop, and noticing that the loop has ended."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from tframex.tasks._running import is_running

__all__ = ["LoopBound"]

T = TypeVar("T")


class LoopBound(Generic[T]):
    """A resource that belongs to one event loop at a time.

    It is made at first use and closed when its owner is garbage-collected or its loop ends: `asyncio.run` and `trio.run`
    close the async generators that are still suspended, and one such generator holds the resource. A later loop gets a new
    one.

    Args:
        make: Makes the resource; called on the loop that uses it.
        close: Closes it; awaited on the loop that made it. It must not refer to the owner of this object.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: _Held[T] | None = None
        self._finalizer: weakref.finalize[[], LoopBound[T]] | None = None

    async def get(self) -> T | None:
        """The resource of the running loop, or None if it belongs to another loop that is still alive."""
        held = self._held
        if held is not None and not held.gone():
            return held.resource if is_running(held.token) else None
        # Over a copy: another thread may be adding to it.
        for left in list(_open):
            if left.loop_is_closed():
                _open.discard(left)
        held = self._held = _Held(self._make(), self._close)
        await held.keeper.__anext__()
        if self._finalizer is not None:
            # The old finalizer would keep its resource alive as long as this object: one client for every loop.
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, held.let_go)
        self._finalizer.atexit = False
        return held.resource

    async def aclose(self) -> None:
        """Close the resource of the running loop; that of an ended loop is dropped, that of another live loop is kept."""
        held = self._held
        if held is None:
            return
        if held.gone():
            self._held = None
        elif is_running(held.token):
            self._held = None
            await held.finish()

    def __getstate__(self) -> dict[str, Any]:
        # In another process, and in a deep copy, it is made again.
        return {**vars(self), "_held": None, "_finalizer": None}


class _Held(Generic[T]):
    """A resource, its loop, and the generator that closes it."""

    def __init__(self, resource: T, close: Callable[[T], Awaitable[None]]) -> None:
        self.resource = resource
        self.token: EventLoopToken = current_token()
        self.keeper = self._keep()
        self._close = close
        self._closed: anyio.Event | None = None
        self._pid = os.getpid()
        # It must be referenced until it is closed: a connection warns when it is garbage-collected, and in a forked child
        # it would write to its parent's sockets.
        _open.add(self)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the resource, or wait until the task that began to close it has done so."""
        with anyio.CancelScope(shield=True):
            if self._closed is not None:
                if not self._closed.is_set():
                    await self._closed.wait()
                return
            self._closed = anyio.Event()
            _open.discard(self)
            try:
                await self._close(self.resource)
            finally:
                self._closed.set()

    async def finish(self) -> None:
        """Close the resource, and the keeper, which the loop would close otherwise."""
        await self.aclose()
        with suppress(RuntimeError):  # The loop is doing so at this moment.
            await self.keeper.aclose()

    def gone(self) -> bool:
        """Whether its loop has ended, or belongs to the process that this one was forked from."""
        return self not in _open or self._pid != os.getpid() or self.loop_is_closed()

    def loop_is_closed(self) -> bool:
        """Whether its loop was closed abruptly; a loop that ends in order closes the keeper."""
        loop = self.token.native_token
        return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()

    def let_go(self) -> None:
        """Have it closed soon, on its own loop: its owner was garbage-collected."""
        loop: Any = self.token.native_token
        if self.gone():
            return
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(self._close_soon, loop)
        else:
            import trio

            with suppress(trio.RunFinishedError):
                loop.run_sync_soon(self._finish_in_a_task)

    def _finish_in_a_task(self) -> None:
        import trio

        # A run that is about to end takes no more tasks, and closes the keeper.
        with suppress(RuntimeError):
            trio.lowlevel.spawn_system_task(self._finish_quietly)

    async def _finish_quietly(self) -> None:
        # An error of a system task would end trio itself.
        with suppress(Exception):
            await self.finish()

    def _close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not through the keeper alone: the loop may be ending, and close the keeper at the same moment.
        task = loop.create_task(self.finish())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_open: set[_Held[Any]] = set()
_closing: set[asyncio.Task[None]] = set()
