"""The body of a response, read piece by piece, and left with the operating system for a while where that saves time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio

from tframex.exchange._clock import ReadClock
from tframex.exchange._peek import peek_of, readable_of
from tframex.tasks import Begun, Kept

__all__ = ["Body", "Tap", "is_plain"]

_DRAIN = 0.1  # the official client waits as long
_LEFT = 1.0
# After a moment in which a connection was not read, how long is looked for what has arrived meanwhile before a time limit
# counts as passed.
_LOOK = 0.005
# How often is looked whether something has arrived, where a wait for it cannot be ended.
_SLICE = 0.25


class Tap(ABC):
    """A connection whose bytes can be taken directly, all that are there, and which can be left unread for a while."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether there is something to take: bytes, the end, or a failure."""

    @abstractmethod
    def arrival(self) -> Awaitable[None]:
        """Wait until there may be something to take."""

    @abstractmethod
    def interrupt(self) -> None:
        """End the wait for an arrival, if there is one, by a `TimeoutError`."""

    @abstractmethod
    def take(self) -> bytes:
        """All bytes that are there; none at the end. Raises what the connection failed with."""

    @abstractmethod
    def hold(self, until: float) -> bool:
        """Leave what arrives to the operating system until then, a time of the event loop; False if that is impossible."""

    @abstractmethod
    def release(self) -> bool:
        """Read again, if a `hold` is not over; True if there has been one since the last call."""

    @abstractmethod
    def translated(self, exc: Exception) -> Exception:
        """The exception that `httpx2` would have raised."""


class Body:
    """The bytes of a response's body; the response is closed in the end.

    Args:
        response: An `httpx2` or `httpx` response whose body is unread.
        clock: For the time limits.
    """

    def __init__(self, response: Any, clock: ReadClock) -> None:
        self._response = response
        self._clock = clock
        self.ended = False
        plain = is_plain(response)
        # Directly only where the stream is the one that our transport has made: others may want to see what passes.
        stream = response.stream
        tap = stream if isinstance(stream, Tap) else getattr(stream, "_stream", None)
        self._tap = tap if plain and isinstance(tap, Tap) else None
        self._asleep = 0.0
        self._pieces: AsyncIterator[bytes] | None = None
        self._kept = Kept(self)
        self._peek: Callable[[], bool] | None = None
        self._readable: Callable[[], bool] | None = None
        if self._tap is None:
            self._readable = readable_of(response)
            self._peek = peek_of(response.stream) if self._readable is not None else None
            self._pieces = aiter(response.stream if plain else response.aiter_bytes())
            self._next: Callable[[], Awaitable[bytes]] = self._begin

    async def __aenter__(self) -> Body:
        return self

    def _begin(self) -> Awaitable[bytes]:
        assert self._pieces is not None
        self._next = self._pieces.__anext__
        return Begun(self._next)

    async def read(self, deadline: float, due: float = math.inf) -> bytes:
        """The next bytes.

        Args:
            deadline: On the clock of the event loop. A body from which nothing came until then is to be closed.
            due: When to return without any, likewise; the body may be read further. Not where `more` is None.

        Raises:
            StopAsyncIteration: The body has ended.
            TimeoutError: The deadline, or what was due, passed first.
        """
        if self._asleep:
            asleep, self._asleep = self._asleep, 0.0
            await anyio.sleep(max(0.0, min(asleep, deadline) - self._clock.now()))
        tap = self._tap
        if tap is None:
            if due != math.inf:
                await self._found(min(due, deadline))
            return await self._clock.wait(self._next(), deadline)
        if due < deadline:
            deadline = due
        while not tap.ready():
            try:
                self._clock.bound(deadline, tap.interrupt)
                await tap.arrival()
            except TimeoutError:
                if tap.ready():
                    break
                if not tap.release():
                    raise
                # What has arrived in time may not have been read yet.
                deadline = self._clock.now() + _LOOK
            except Exception as exc:
                raise tap.translated(exc) from exc
        try:
            data = tap.take()
        except Exception as exc:
            raise tap.translated(exc) from exc
        if not data:
            raise StopAsyncIteration
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

    def hold(self, until: float, *, sleep: bool) -> None:
        """Leave what arrives to the operating system until then, where that is possible.

        Args:
            until: On the clock of the event loop; 0 is not at all.
            sleep: Where a connection cannot be left alone, the next `read` may begin that late.
        """
        if not until:
            return
        if self._tap is not None:
            left = self._tap.hold(until)
        else:
            # What one read returns, 64 KiB, may not have been all.
            left = self._readable is None or self._peek is None or self._readable()
        if sleep and not left:
            self._asleep = until

    def more(self) -> bool | None:
        """Whether more has been read from the network than was handed out; None if that is unknown."""
        if self._tap is not None:
            return self._tap.ready()
        return None if self._peek is None else self._peek()

    async def drain(self) -> None:
        """Read what is left after `[DONE]`, so that the connection can be used again."""
        self._asleep = 0.0
        if self._tap is not None:
            self._tap.release()
        deadline = self._clock.now() + _DRAIN
        try:
            while True:
                await self.read(deadline)
        except StopAsyncIteration:
            self.ended = True
        except TimeoutError:
            pass

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._close()
        finally:
            self._kept.let_go()

    async def _close(self) -> None:
        if self.ended:
            await self._response.aclose()  # nothing to wait for
            return
        # Closing an unfinished response closes its connection, so that the server stops generating. It must happen
        # also, and above all, when this task has been cancelled.
        # A failure to close must not replace the exception that ends this: it would be taken for a break, and resumed.
        with suppress(Exception), anyio.CancelScope(shield=True):
            with suppress(Exception):
                await self._response.aclose()
            if self._pieces is not None:
                # The layers below read each other through generators that are not closed. Reading further from the closed
                # connection ends all of them; otherwise trio complains about them.
                with anyio.move_on_after(_LEFT), suppress(Exception):
                    async for _left in self._pieces:
                        pass


def is_plain(response: Any) -> bool:
    """Whether the body's stream can be read directly, which saves time at each read: not compressed, and not yet read."""
    compressed = response.headers.get("content-encoding", "identity") != "identity"
    return not (compressed or response.is_stream_consumed)
