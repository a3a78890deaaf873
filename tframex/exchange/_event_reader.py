"""One response of the Responses API: bytes in, events out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tframex.errors import ModelError
from tframex.exchange._arrival import Arrival
from tframex.exchange._body_start import BodyStart
from tframex.exchange._event_status import STATUSES
from tframex.exchange._event_trail import KEEPALIVE, TEXT, EventTrail
from tframex.exchange._failures import stream_cut, unreadable
from tframex.exchange._observer import Observer
from tframex.exchange._odd_json import parsed
from tframex.exchange._sse import SSEDecoder
from tframex.exchange._statuses import error_from_body

__all__ = ["DeltaDecoder", "EventArrival", "EventReader"]

DeltaDecoder = Callable[[bytes], "list[Any] | None"]
"""Decodes lines that are all deltas, each with `sequence_number` and `delta`; None if one of them is not."""

_WHAT = "Responses"
# In bytes: the last event repeats the complete output, with every image.
_LARGEST = 256 * 1024 * 1024
# Events and statuses that say how a response has ended. Some providers have names of their own for the last event.
_ENDS = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"}
)
# Repeated, they may show the response as it has become since.
_BEGINNINGS = frozenset({"response.created", "response.queued", "response.in_progress"})
_CONTENT = (".delta", ".added", ".created", ".queued", ".in_progress")


class _Event(msgspec.Struct, gc=False):
    """What has to be known of an event that does not simply continue the text."""

    type: Any = None
    sequence_number: Any = None
    response: Any = None
    error: Any = None
    delta: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode


class EventArrival(Arrival, gc=False):
    """What one network read returned: `data` holds the JSON of each event.

    Attributes:
        deltas: What the `DeltaDecoder` has made of each event; None for one that it does not know.
        pings: How many of them say only that the connection is alive.
    """

    deltas: list[Any] = msgspec.field(default_factory=list)
    pings: int = 0

    def followed_by(self, other: Arrival) -> EventArrival:
        """This one and the next, as if one read had returned them."""
        deltas = self.deltas + (other.deltas if isinstance(other, EventArrival) else [])
        pings = self.pings + (other.pings if isinstance(other, EventArrival) else 0)
        data, silent = self.data + other.data, self.silent and other.silent
        return EventArrival(chunks=deltas, data=data, silent=silent, deltas=deltas, pings=pings)


class EventReader:
    """Reads the body of one response.

    Args:
        trail: The events so far; those that arrive are added to it.
        decode: Decodes deltas.
        text: The class of its deltas that are text of the output.
        model_id: For error messages.
        joined: The response continues an earlier one: what that one had is left out, and nothing may be missing.
        observer: Notified of the first event.
    """

    def __init__(
        self, trail: EventTrail, decode: DeltaDecoder, text: type, model_id: str, *, joined: bool, observer: Observer
    ) -> None:
        self.events = 0
        """How many events arrived that were new."""
        self.done = False
        """The server has sent the last of it."""
        self.over = False
        """Nothing more is to be read."""
        self.marked = False
        """The server has said `[DONE]`."""
        self.complete = False
        """The server has said how the response ended."""
        self.failed = False
        """The last event is an error: often the end, but some servers continue."""
        self.failure: ModelError | None = None
        self._trail = trail
        self._decode = decode
        self._text: Any = text
        self._model_id = model_id
        self._joined = joined
        self._observer = observer
        self._start = BodyStart()
        self._decoder = SSEDecoder(_LARGEST)

    @property
    def begun(self) -> bool:
        """Whether some of the response has arrived, in this one or before."""
        return self._trail.anything

    @property
    def empty(self) -> bool:
        """Whether a stream has come without any event."""
        return not self.events and self._start.may_be_events()

    def opened(self, headers: Mapping[str, str]) -> None:
        """Note the headers of a successful response."""
        self._start.opened(headers)

    def feed(self, data: bytes) -> EventArrival:
        """Take bytes of the body and return the events that are new to the reader.

        What is wrong with the bytes is put into `failure`, since the events before it must reach the reader first.
        """
        batch = EventArrival()
        if not self._start.decided:
            data = self._start.take(data)
        try:
            items = self._decoder.feed(data)
            if items and not self._take_deltas(items, batch):
                self._take_any(items, batch)
        except ModelError as error:
            self.failure = error
        except Exception as exc:
            # Of whatever class: what was read before it is handed out.
            self.failure = self._unreadable(why=str(exc))
            self.failure.__cause__ = exc
        if batch.data:
            batch.silent = batch.pings == len(batch.data)
            if not (self.events or batch.silent):
                self._observer.first_event()
            self.events += len(batch.data) - batch.pings
            batch.chunks = batch.deltas
        return batch

    def lack(self) -> ModelError:
        """What is wrong with a response that ended by itself without saying how."""
        if not self._start.is_stream or not (self.events or self._start.may_be_events()):
            return self._unreadable()
        return stream_cut(model_id=self._model_id, why="the stream ended before the response was completed")

    def _unreadable(self, why: str = "") -> ModelError:
        partial, begun = self._trail.text, bool(why) and self.begun
        return unreadable(self._start.head, model_id=self._model_id, partial=partial, why=why, what=_WHAT, begun=begun)

    def _take_deltas(self, items: list[bytes], batch: EventArrival) -> bool:
        """Take in events that are nothing but deltas and follow each other; False if there is anything else."""
        deltas = self._decode(items[0] if len(items) == 1 else b"\n".join(items))
        if deltas is None or len(deltas) != len(items):
            return False
        if not self._trail.follow([delta.sequence_number for delta in deltas]):
            return False
        self._trail.note_texts([delta.delta for delta in deltas if type(delta) is self._text])
        self.complete = self.failed = False
        batch.deltas, batch.data = deltas, items
        return True

    def _take_any(self, items: list[bytes], batch: EventArrival) -> None:
        """Take in events one by one."""
        for item in items:
            if item.startswith(b"[DONE]"):
                self.done = self.over = self.marked = True
                return
            try:
                event = _decode_event(item)
            except msgspec.DecodeError as exc:
                event = msgspec.convert(parsed(item, exc), _Event)
            if event.error:
                raise error_from_body(event.error, model_id=self._model_id)
            if not isinstance(event.type, str):
                event.type = ""
            status = self._trail.note_response(event.response) if isinstance(event.response, dict) else None
            if not self._trail.takes(event, joined=self._joined, model_id=self._model_id):
                continue
            if event.type == TEXT and isinstance(event.delta, str):
                self._trail.note_texts([event.delta])
            batch.deltas += self._decode(item) or [None]
            batch.data.append(item)
            if event.type == KEEPALIVE:
                batch.pings += 1
            else:
                self._judge(event.type, status)

    def _judge(self, kind: str, status: object) -> None:
        """Note whether an event is the last of the response, as far as is known by now."""
        if kind in _ENDS or (isinstance(status, str) and status in STATUSES and kind not in _BEGINNINGS):
            self.complete = True
        elif kind.endswith(_CONTENT):
            self.complete = False
        self.failed = kind == "error"
