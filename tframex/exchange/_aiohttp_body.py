"""The body of a response that aiohttp reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx2

from tframex.exchange._aiohttp_errors import cause, translated
from tframex.exchange._aiohttp_hold import FOUND, Hold
from tframex.exchange._body import Tap
from tframex.exchange._ticks import Ticks

__all__ = ["body_of"]

_CHUNK = 16 * 1024
# What is used of aiohttp's reader beyond its documentation.
_PARTS = (
    "_buffer",
    "_buffer_offset",
    "_cursor",
    "_eof",
    "_exception",
    "_http_chunk_splits",
    "_loop",
    "_protocol",
    "_size",
    "_wait",
    "_waiter",
)
_SLOTS = ("_drop_timeout", "_read_timeout", "_reading_paused", "_reschedule_timeout", "resume_reading", "transport")


def body_of(stream: httpx2.AsyncByteStream, ticks: Ticks) -> httpx2.AsyncByteStream:
    """The body behind the stream of the official adapter.

    Args:
        stream: The adapter's stream.
        ticks: The moments at which streams of this transport are read.
    """
    response = getattr(stream, "_aiohttp_response", None)
    if response is None:
        return AioBody(stream, stream)
    content = response.content
    known = all(hasattr(content, name) for name in _PARTS)
    if known and all(hasattr(content._protocol, name) for name in _SLOTS):
        return TappedBody(stream, response, ticks)
    return AioBody(stream, content.iter_chunked(_CHUNK))


class AioBody(httpx2.AsyncByteStream):
    """A body in place of the adapter's stream, so that it costs nothing more for each read.

    Args:
        stream: The adapter's stream.
        content: Its pieces.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, content: Any) -> None:
        self._stream = stream
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._content:
                yield data
        except Exception as exc:
            raise translated(exc) from cause(exc)

    async def aclose(self) -> None:
        """Release the connection, or close it if the body is unfinished."""
        try:
            await self._stream.aclose()
        except Exception as exc:
            raise translated(exc) from cause(exc)


class TappedBody(AioBody, Tap):
    """A body that is taken out of aiohttp's reader directly.

    Its own methods hand out the pieces that the server has sent one by one, and look after flow control for each: three
    microseconds where a read finds a single piece, and many times that where it finds many.

    Args:
        stream: The adapter's stream.
        response: aiohttp's response.
        ticks: The moments at which streams of this transport are read.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, response: Any, ticks: Ticks) -> None:
        super().__init__(stream, response.content.iter_chunked(_CHUNK))
        self._reader = response.content
        self._buffer = response.content._buffer
        self._protocol = response.content._protocol
        self._hold = Hold(response, ticks)
        self._taken = 0
        """How many bytes the last read returned."""

    def ready(self) -> bool:
        reader = self._reader
        return bool(self._buffer) or reader._eof or reader._exception is not None

    def arrival(self) -> Awaitable[None]:
        if self._hold.state == FOUND:
            # What was found has been taken.
            self._hold.end()
        waiting: Awaitable[None] = self._reader._wait("read")
        return waiting

    def interrupt(self) -> None:
        waiter = self._reader._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(TimeoutError())

    def take(self) -> bytes:
        reader = self._reader
        buffer = reader._buffer
        if not buffer:
            if reader._exception is not None:
                raise reader._exception
            return b""
        if reader._buffer_offset:
            data: bytes = reader.read_nowait(-1)
            return data
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._taken = taken = len(data)
        reader._size -= taken
        reader._cursor += taken
        if reader._http_chunk_splits:
            reader._http_chunk_splits.clear()
        if self._protocol._reading_paused:
            # More than it wants to keep had arrived.
            self._protocol.resume_reading()
        return data

    def hold(self, until: float) -> bool:
        return self._hold.begin(until, self._taken)

    def release(self) -> bool:
        self._hold.end()
        return self._hold.was_begun()

    def translated(self, exc: Exception) -> Exception:
        return translated(exc)

    async def aclose(self) -> None:
        self.release()
        await super().aclose()
