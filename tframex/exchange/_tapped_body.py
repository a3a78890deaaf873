"""A body that is taken out of aiohttp's reader directly."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Any

import httpx2

from tframex.exchange._aiohttp_errors import cause, translated
from tframex.exchange._aiohttp_hold import FOUND, Hold
from tframex.exchange._body import Body
from tframex.exchange._clock import ReadClock
from tframex.exchange._ticks import Ticks

__all__ = ["TappedBody", "can_be_tapped"]

# What is used of aiohttp's reader, and of its protocol, beyond their documentation.
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
    "_waiter",
)
_SLOTS = ("_drop_timeout", "_read_timeout", "_reading_paused", "resume_reading", "transport")
# After a moment in which a connection was not read, how long is looked for what has arrived meanwhile before a time limit
# counts as passed.
_LOOK = 0.005


def can_be_tapped(content: Any) -> bool:
    """Whether this version of aiohttp has a reader that is made of what is used here.

    Args:
        content: The reader of a response.
    """
    return all(hasattr(content, name) for name in _PARTS) and all(hasattr(content._protocol, name) for name in _SLOTS)


class TappedBody(Body):
    """Takes all that has arrived, and waits for more with a single future.

    The reader's own methods hand out the pieces that the server has sent one by one, and look after flow control for each:
    three microseconds where a read finds a single piece, and many times that where it finds many. For its limit of the time
    between two reads, aiohttp sets a timer at each.

    Args:
        response: The response of `httpx2`.
        clock: For the time limits.
        below: The response of aiohttp.
        ticks: The moments at which streams of this transport are read.
    """

    # Between two reads of a stream the processor sees hundreds of others: what is compact is found in fewer places.
    __slots__ = (
        "_below",
        "_buffer",
        "_future",
        "_hold",
        "_impatient",
        "_limit",
        "_patience",
        "_protocol",
        "_reader",
        "_taken",
        "_ticks",
        "_told",
    )

    def __init__(self, response: Any, clock: ReadClock, below: Any, ticks: Ticks) -> None:
        super().__init__(response, clock)
        self._below = below
        self._ticks = ticks
        self._reader = reader = below.content
        self._buffer = reader._buffer
        self._protocol = protocol = reader._protocol
        self._future = reader._loop.create_future
        self._hold: Hold | None = None
        self._taken = 0
        """How many bytes the last read returned."""
        self._limit = self._told = math.inf
        """When a wait is to end, and the earliest that the clock has been told since it last rang."""
        self._patience: float = protocol._read_timeout or math.inf
        """How long a wait may be, apart from its deadline."""
        self._impatient = False
        """The present one may not be as long as its deadline allows."""
        protocol._drop_timeout()
        protocol._read_timeout = None

    def arrival(self, deadline: float, due: float = math.inf) -> Awaitable[None] | None:
        reader = self._reader
        if self._buffer or reader._eof or reader._exception is not None:
            return None
        if self._protocol.transport is None:
            raise httpx2.ReadError("the connection was closed")
        if self._hold is not None and self._hold.state == FOUND:
            # What was found has been taken.
            self._hold.end()
        limit = deadline if deadline < due else due
        if self._patience != math.inf:
            patient = self._clock.now() + self._patience
            self._impatient = patient < limit
            limit = min(patient, limit)
        self._limit = limit
        if limit < self._told:
            self._tell(limit)
        waiting: Awaitable[None] = self._future()
        reader._waiter = waiting
        return waiting

    def _tell(self, limit: float) -> None:
        self._told = limit
        self._clock.bound(limit, self._interrupt)

    def _interrupt(self) -> None:
        self._told = math.inf
        waiting = self._reader._waiter
        if waiting is None or waiting.done():
            return
        now = self._clock.now()
        if now < self._limit:
            self._tell(self._limit)
        elif self._release():
            # What has arrived in time may not have been read yet.
            self._tell(now + _LOOK)
        elif self._impatient:
            waiting.set_exception(httpx2.ReadTimeout("the server sent nothing for too long"))
        else:
            waiting.set_exception(TimeoutError())

    def take(self) -> bytes | None:
        reader, buffer = self._reader, self._buffer
        if not buffer:
            if reader._exception is not None:
                raise reader._exception
            return b"" if reader._eof else None
        if reader._buffer_offset:
            data: bytes = reader.read_nowait(-1)
            return data
        if len(buffer) == 1:
            data = buffer.popleft()
        else:
            data = b"".join(buffer)
            buffer.clear()
        self._taken = taken = len(data)
        reader._size -= taken
        reader._cursor += taken
        if splits := reader._http_chunk_splits:
            splits.clear()
        if self._protocol._reading_paused:
            # More than it wants to keep had arrived.
            self._protocol.resume_reading()
        return data

    def failure(self, exc: Exception) -> Exception:
        made = translated(exc)
        if made is not exc:
            made.__cause__ = cause(exc)
        return made

    def more(self) -> bool:
        reader = self._reader
        return bool(self._buffer) or reader._eof or reader._exception is not None

    def hold(self, until: float) -> bool:
        self._hold = self._hold or Hold(self._below, self._ticks)
        return self._hold.begin(until, self._taken)

    def _release(self) -> bool:
        if self._hold is None:
            return False
        self._hold.end()
        return self._hold.was_begun()

    async def drain(self) -> None:
        self._release()
        await super().drain()

    async def __aexit__(self, *exc_info: object) -> None:
        self._release()
        await super().__aexit__(*exc_info)
