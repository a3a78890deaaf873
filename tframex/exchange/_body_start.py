"""How the body of a response begins: whether it is a stream of events at all."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BodyStart"]

_HEAD = 300
_LONGEST = 65536
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class BodyStart:
    """Keeps the first bytes of a body, for error messages, and tells a stream of events from a page or a JSON document.

    Attributes:
        head: How the body begins.
        is_stream: It is a stream of events.
        decided: Nothing more is to be learned from the body's bytes.
    """

    def __init__(self) -> None:
        self.head = b""
        self.is_stream = True
        self.decided = False
        self._undecided = False

    def opened(self, headers: Mapping[str, str]) -> None:
        """Note the headers of the response."""
        # Some servers label their events so; how the body begins tells.
        self._undecided = headers.get("content-type", "").startswith(("text/html", "application/json"))
        self.is_stream = not self._undecided

    def take(self, data: bytes) -> bytes:
        """Take bytes of the body and return those that are to be read as events."""
        if self.is_stream:
            self.head += data[: _HEAD - len(self.head)]
            self.decided = len(self.head) >= _HEAD
            return data
        if len(self.head) < _LONGEST:
            self.head += data
        if not (self._undecided and self._begins_like_events()):
            return b""
        data, self.head = self.head, self.head[:_HEAD]
        return data

    def _begins_like_events(self) -> bool:
        start = self.head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
        self.is_stream = start.startswith(_FIELDS)
        self._undecided = not self.is_stream and len(start) < len(b"retry:")
        return self.is_stream

    def may_be_events(self) -> bool:
        """Whether a body that ended before its first event began like a stream of events."""
        return self.is_stream and (
            not self.head or any(self.head.startswith(field[: len(self.head)]) for field in _FIELDS)
        )
