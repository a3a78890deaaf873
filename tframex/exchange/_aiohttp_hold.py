"""A connection of aiohttp that is left unread for a moment, so that what arrives meanwhile is read together."""

from __future__ import annotations

from typing import Any

from tframex.exchange._read_now import read_now
from tframex.exchange._ticks import Ticks

__all__ = ["FOUND", "FREE", "LEFT", "Hold"]

# The event loop reads the connection; it is unread until a moment; at that moment something was found, and the connection
# stays unread until that has been taken.
FREE, LEFT, FOUND = range(3)
# What a transport says that cannot be paused, or is being closed. `suppress` would cost as much as the pausing.
_IMPOSSIBLE: tuple[type[Exception], ...] = (AttributeError, NotImplementedError, RuntimeError)
# As many bytes may be all that one read returns (64 KiB on uvloop, with what frames them): more may be there.
_FULL = 32 * 1024


class Hold:
    """Pauses a connection and looks at what has arrived when the pause is over.

    Args:
        response: aiohttp's response.
        ticks: The moments at which streams of this transport are read.

    Attributes:
        state: `FREE`, `LEFT` or `FOUND`.
    """

    def __init__(self, response: Any, ticks: Ticks) -> None:
        self.state = FREE
        self._response = response
        self._reader = response.content
        self._protocol = response.content._protocol
        self._ticks = ticks
        self._transport: Any = None
        """The one that is paused."""
        self._until = 0.0
        self._begun = False

    def begin(self, until: float, taken: int) -> bool:
        """Leave the connection alone, unless more is to be expected from it.

        Args:
            until: On the clock of the event loop.
            taken: How many bytes were there the last time.

        Returns:
            False where that is impossible.
        """
        protocol, reader = self._protocol, self._reader
        # At its end the connection may already serve another request.
        if reader._buffer or reader._eof or reader._exception is not None or protocol._reading_paused:
            return True
        if taken >= _FULL:
            self.end()
            return True
        if self.state == FREE:
            if protocol.transport is None or self._response.connection is None:
                return True
            self._transport = _lowest(protocol.transport)
            try:
                self._transport.pause_reading()
            except _IMPOSSIBLE:
                self._transport = None
                return False
        self.state, self._until, self._begun = LEFT, until, True
        self._ticks.at(until, self._look)
        return True

    def _look(self, moment: float) -> None:
        if self.state != LEFT or self._until != moment:
            return  # It has been ended meanwhile.
        self.state = FOUND
        reader, protocol = self._reader, self._protocol
        read_now(self._transport, protocol)
        if reader._eof or not (reader._buffer or reader._exception is not None):
            self.end()

    def end(self) -> None:
        """Have the connection read again, if it is not."""
        if self.state == FREE:
            return
        protocol = self._protocol
        transport, self._transport, self.state = self._transport, None, FREE
        # A pause of aiohttp is ended by aiohttp; what is below TLS is ours.
        if not protocol._reading_paused or transport is not protocol.transport:
            try:
                transport.resume_reading()
            except _IMPOSSIBLE:
                return

    def was_begun(self) -> bool:
        """Whether there has been a pause since this was last asked."""
        begun, self._begun = self._begun, False
        return begun


def _lowest(transport: Any) -> Any:
    """The transport that reads the socket; None where it is hidden.

    That of TLS, when it is paused, still reads the socket: what it has read is lost with the connection.
    """
    if transport.get_extra_info("sslcontext") is None:
        return transport
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
