"""The stream of a response that aiohttp reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2

from tframex.exchange._aiohttp_errors import cause, translated
from tframex.exchange._body import Body, Tap
from tframex.exchange._clock import ReadClock
from tframex.exchange._tapped_body import TappedBody, can_be_tapped
from tframex.exchange._ticks import Ticks

__all__ = ["stream_of"]

_CHUNK = 16 * 1024


def stream_of(stream: httpx2.AsyncByteStream, ticks: Ticks) -> httpx2.AsyncByteStream:
    """The stream in place of that of the official adapter, so that it costs nothing more for each read.

    Args:
        stream: The adapter's stream.
        ticks: The moments at which streams of this transport are read.
    """
    response = getattr(stream, "_aiohttp_response", None)
    if response is None:
        return AioStream(stream, stream)
    if can_be_tapped(response.content):
        return TappedStream(stream, response, ticks)
    return AioStream(stream, response.content.iter_chunked(_CHUNK))


class AioStream(httpx2.AsyncByteStream):
    """A stream that raises the exceptions of httpx2.

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


class TappedStream(AioStream, Tap):
    """A stream whose body can be taken out of aiohttp's reader.

    Args:
        stream: The adapter's stream.
        response: aiohttp's response.
        ticks: The moments at which streams of this transport are read.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, response: Any, ticks: Ticks) -> None:
        super().__init__(stream, response.content.iter_chunked(_CHUNK))
        self._response = response
        self._ticks = ticks

    def body(self, response: Any, clock: ReadClock) -> Body:
        return TappedBody(response, clock, self._response, self._ticks)
