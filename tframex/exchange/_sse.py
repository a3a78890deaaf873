"""Server-sent events: bytes in, `data` payloads out.

Follows the WHATWG specification (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)
for everything a chat stream uses. An event that the stream ends in the middle of is discarded, as the
specification says: half an event is never mistaken for a complete one.
"""

from __future__ import annotations

__all__ = ["EventTooLargeError", "SSEDecoder"]

_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """One event is larger than the limit."""


class SSEDecoder:
    """An incremental decoder: any split of the same bytes gives the same events.

    Args:
        limit: The largest event in bytes. It bounds the memory a broken or hostile server can take.
    """

    __slots__ = ("_at_start", "_between", "_data", "_limit", "_line", "_size", "_skip_newline", "comments")

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        # The pieces of an unfinished line are kept apart until its end arrives: joining them at every read would
        # take quadratic time for a long line that arrives in small pieces.
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._skip_newline = False
        self._at_start = True
        self._between = False
        """No event has begun, and nothing is to be skipped."""
        self.comments = 0
        """How many comment lines (keep-alive pings) have passed."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the data of every event that is now complete.

        Raises:
            EventTooLargeError: An event grew beyond the limit.
        """
        if self._between and len(chunk) <= self._limit:
            # Nearly all events are one line of data and an empty one. At a server's own pace they arrive one by one.
            end = len(chunk) - 2
            if chunk[:6] == b"data: " and chunk.find(b"\n") == end and chunk[-1] == 10 and b"\r" not in chunk:
                return [chunk[6:end]]
        events = self._events_in(chunk)
        self._between = not (self._line or self._data or self._at_start or self._skip_newline)
        return events

    def _events_in(self, chunk: bytes) -> list[bytes]:
        """The same for any bytes."""
        if self._skip_newline and chunk:
            # A CR ended the last chunk; an LF now belongs to it.
            self._skip_newline = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._skip_newline = chunk[-1] == 13
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[bytes] = []
        if self._line or self._data or self._at_start:
            # An event that came in pieces is put together first; the plain events begin after it.
            end = chunk.find(b"\n\n") + 2
            if end == 1:
                self._lines(chunk, events)
                return events
            self._lines(chunk[:end], events)
            chunk = chunk[end:]
        if chunk.startswith(b"event: "):
            # One event of the Responses API: its name, one line of data and an empty one.
            start = chunk.find(b"\n") + 1
            end = chunk.find(b"\n", start)
            if chunk.startswith(b"data: ", start) and end + 2 == len(chunk) <= self._limit and chunk[-1] == 10:
                events.append(chunk[start + 6 : end])
                return events
        # A reader that is slower than the server finds many, which are cut apart in one step.
        if chunk.startswith(b"data: ") and (end := chunk.rfind(b"\n\n") + 2) <= self._limit:
            data = chunk[6 : end - 2].split(b"\n\ndata: ")
            # Two newlines for each, so none is inside.
            if end > 6 and chunk.count(b"\n", 0, end) == 2 * len(data):
                events += data
                chunk = chunk[end:]
        if chunk:
            self._lines(chunk, events)
        return events

    def _lines(self, chunk: bytes, events: list[bytes]) -> None:
        """Take lines one by one, as the specification describes it."""
        lines = chunk.split(b"\n")
        tail = lines.pop()
        if lines:
            if self._line:
                self._line.append(lines[0])
                lines[0] = b"".join(self._line)
                self._line.clear()
            if self._at_start:
                self._at_start = False
                lines[0] = lines[0].removeprefix(_BOM)
            self._size = sum(map(len, self._data)) + len(self._data)
            for line in lines:
                if not line:
                    self._dispatch(events)
                elif line.startswith(b"data:"):
                    value = line[6:] if line[5:6] == b" " else line[5:]
                    self._size += len(value) + 1  # an empty line takes room, too
                    if self._size > self._limit:
                        self._overflow()
                    self._data.append(value)
                elif line[0] == 58:
                    self.comments += 1
                elif line == b"data":
                    self._data.append(b"")
        if tail:
            self._line.append(tail)
            self._size += len(tail)
            if self._size > self._limit:
                self._overflow()

    def _dispatch(self, events: list[bytes]) -> None:
        data = self._data
        if data:
            events.append(data[0] if len(data) == 1 else b"\n".join(data))
            data.clear()
            self._size = 0

    def _overflow(self) -> None:
        raise EventTooLargeError(
            f"one event of the stream is larger than {self._limit} bytes; "
            "the endpoint does not send a stream of answers"
        )
