"""The body of a response, read piece by piece, and left with the operating system for a while where that saves time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import anyio

from tframex.exchange._clock import ReadClock
from tframex.tasks import Kept

__all__ = ["Body", "Tap", "is_plain", "tap_of"]

_DRAIN = 0.1  # the official client waits as long


class Body(ABC):
    """The bytes of a response's body; the response is closed in the end.

    Args:
        response: An `httpx2` or `httpx` response whose body is unread.
        clock: For the time limits.
    """

    __slots__ = ("_clock", "_kept", "_response", "ended")

    def __init__(self, response: Any, clock: ReadClock) -> None:
        self._response = response
        self._clock = clock
        self.ended = False
        self._kept = Kept(self)

    async def __aenter__(self) -> Body:
        return self

    @abstractmethod
    def arrival(self, deadline: float, due: float = math.inf) -> Awaitable[None] | None:
        """Wait until there may be something to take; None: there is already.

        Args:
            deadline: On the clock of the event loop. A body from which nothing came until then is to be closed.
            due: When to wait no longer, likewise; the body may be read further. Not where `more` is None.

        Raises:
            TimeoutError: The deadline, or what was due, passed first; raised where it is awaited, like other failures.
        """

    @abstractmethod
    def take(self) -> bytes | None:
        """What has arrived, empty at the end; None: nothing has. Raises what the connection failed with."""

    def failure(self, exc: Exception) -> Exception:
        """The exception that `httpx2` would have raised."""
        return exc

    def hold(self, until: float) -> bool:
        """Leave what arrives to the operating system until then, a time of the event loop; False if that is impossible."""
        return False

    @abstractmethod
    def more(self) -> bool | None:
        """Whether more has been read from the network than was handed out; None if that is unknown."""

    async def drain(self) -> None:
        """Read what is left after `[DONE]`, so that the connection can be used again."""
        deadline = self._clock.now() + _DRAIN
        data: bytes | None = None
        with suppress(TimeoutError):
            while data != b"":
                if (waiting := self.arrival(deadline)) is not None:
                    await waiting
                data = self.take()
            self.ended = True

    async def __aexit__(self, *_: object) -> None:
        try:
            # There is nothing to wait for when it has been read to its end.
            await (self._response.aclose() if self.ended else self._leave())
        finally:
            self._kept.let_go()

    async def _leave(self) -> None:
        """Close an unfinished response: that closes its connection, so that the server stops generating."""
        # It must happen also, and above all, when this task has been cancelled. A failure to close must not replace the
        # exception that ends this: it would be taken for a break, and resumed.
        with suppress(Exception), anyio.CancelScope(shield=True):
            await self._close()

    async def _close(self) -> None:
        await self._response.aclose()


class Tap(ABC):
    """A stream of a response whose connection can be read directly."""

    @abstractmethod
    def body(self, response: Any, clock: ReadClock) -> Body:
        """The body that it is the stream of."""


def tap_of(response: Any) -> Tap | None:
    """The tap of a response, if its body can be read through that."""
    # Directly only where the stream is the one that our transport has made: others may want to see what passes.
    stream = response.stream
    tap = stream if isinstance(stream, Tap) else getattr(stream, "_stream", None)
    return tap if isinstance(tap, Tap) and is_plain(response) else None


def is_plain(response: Any) -> bool:
    """Whether the body's stream can be read directly, which saves time at each read: not compressed, and not yet read."""
    compressed = response.headers.get("content-encoding", "identity") != "identity"
    return not (compressed or response.is_stream_consumed)
