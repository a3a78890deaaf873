"""The body of a response that aiohttp reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any

import httpx2

from tframex.exchange._aiohttp_errors import cause, translated
from tframex.exchange._body import Tap
from tframex.exchange._read_now import read_now
from tframex.exchange._ticks import Ticks

__all__ = ["body_of"]

_CHUNK = 16 * 1024
# What a transport says that cannot be paused, or is being closed. `suppress` would cost as much as the pausing.
_IMPOSSIBLE: tuple[type[Exception], ...] = (AttributeError, NotImplementedError, RuntimeError)
# What is used of aiohttp's reader beyond its documentation.
_PARTS = (
    "_buffer",
    "_buffer_offset",
    "_cursor",
    "_eof",
    "_exception",
    "_http_chunk_splits",
    "_protocol",
    "_size",
    "_wait",
    "_waiter",
)
_SLOTS = ("_reading_paused", "transport")


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
        self._response = response
        self._reader = response.content
        self._buffer = response.content._buffer
        self._protocol = response.content._protocol
        self._ticks = ticks
        self._paused: Any = None
        """The transport, while it is paused by us."""
        self._due = 0.0
        """When it is read again; 0: when somebody waits for it."""
        self._was_held = False

    def ready(self) -> bool:
        reader = self._reader
        return bool(self._buffer) or reader._eof or reader._exception is not None

    def arrival(self) -> Awaitable[None]:
        if self._paused is not None and not self._due:
            self._resume()
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
        reader._size -= len(data)
        reader._cursor += len(data)
        if reader._http_chunk_splits:
            reader._http_chunk_splits.clear()
        if self._protocol._reading_paused:
            # More than it wants to keep had arrived.
            self._protocol.resume_reading()
        return data

    def hold(self, until: float) -> None:
        reader, protocol = self._reader, self._protocol
        # At its end the connection may already serve another request.
        if self._buffer or reader._eof or reader._exception is not None or protocol._reading_paused:
            return
        if self._paused is None:
            transport = protocol.transport
            if transport is None or self._response.connection is None:
                return
            # The layer of TLS would continue to receive, and only keep back what it has decrypted.
            transport = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
            try:
                transport.pause_reading()
            except _IMPOSSIBLE:
                return
            self._paused = transport
        limit = getattr(protocol, "read_timeout", None)
        if limit:
            # aiohttp's own limit between two reads: it cannot know what the operating system has.
            until = min(until, reader._loop.time() + limit / 2)
        self._due = until
        self._was_held = True
        self._ticks.at(until, self._look)

    def _look(self, moment: float) -> None:
        """Read what has arrived during a hold."""
        if self._due != moment or self._paused is None:
            return  # It has been released meanwhile.
        self._due = 0.0
        read_now(self._paused, self._protocol)
        if not self.ready() or self._reader._eof:
            self._resume()

    def release(self) -> bool:
        held, self._was_held = self._was_held, False
        self._due = 0.0
        self._resume()
        return held

    def _resume(self) -> None:
        transport, self._paused = self._paused, None
        if transport is not None and not self._protocol._reading_paused:
            with suppress(*_IMPOSSIBLE):
                transport.resume_reading()

    def translated(self, exc: Exception) -> Exception:
        return translated(exc)

    async def aclose(self) -> None:
        self.release()
        await super().aclose()
