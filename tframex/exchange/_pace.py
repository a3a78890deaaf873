"""How often a stream is read: at every token, at a pace that people see, or when it costs least.

Each wake-up for a token costs about eight times what the token itself costs: the event loop, a `recv`, a pass of the HTTP
parser. Bytes that are left with the operating system for a moment come out together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tframex.exchange._arrival import Arrival

__all__ = ["GATHER", "Pace", "Pacer"]

# Of the moments at which reading resumes in a second: streams that wait for the same one share a turn of the event loop.
_MOMENTS = 64
# How long a connection is left alone at most: the end of an answer, and of a connection, is seen so much later.
_LONGEST = 0.25
# The finest division of a second: below, floats end.
_FINEST = 1e6
# Of an idle limit: a silence is noticed so much later at most.
_IDLE = 0.05


@dataclass(frozen=True)
class Pace:
    """When a stream is read.

    Args:
        interval: Seconds between two reads.
        share: Of the time that an answer has taken, the part that a read may wait: its end is not later by more than that.
        most: The longest such wait in seconds.
    """

    interval: float = 0.0
    share: float = 0.0
    most: float = _LONGEST

    def begin(self, now: float, idle: float) -> Pacer:
        """The reads of one answer.

        Args:
            now: When its first request is sent.
            idle: The limit of its silence in seconds.
        """
        return Pacer(self, now, idle)


GATHER = Pace(share=0.05)
"""For text that is not shown before it is complete."""


class Pacer:
    """Says after each read what of it is handed out, and when the next may be.

    Args:
        pace: The pace.
        now: When the first request is sent.
        idle: The limit of the answer's silence in seconds.
    """

    def __init__(self, pace: Pace, now: float, idle: float) -> None:
        self.interval = min(pace.interval, idle / 2)
        self.until = 0.0
        """When to read again; 0: whenever something arrives."""
        self.due = math.inf
        """When what waits is to be handed out; infinite: nothing waits."""
        self._next = 0.0
        """When text may be handed out again; 0: none has been."""
        self._held: Arrival | None = None
        self._share = pace.share
        self._most = min(pace.most, idle * _IDLE)
        self._began = now
        self._first = math.inf
        self._events = 0

    def pass_on(self, batch: Arrival, now: float, more: bool | None, *, paced: bool) -> Arrival | None:
        """What is handed out after a read; None: it waits for what follows, at most until `due`.

        Args:
            batch: What the read returned; nothing, if it ended because something was due, or found no event.
            now: When.
            more: Whether more has arrived already; None if that cannot be known, and no read can be ended: then no text
                waits.
            paced: The answer has begun, and this is not its end: those wait for nothing.
        """
        self.until = 0.0
        if paced:
            if self._next and more is not None and (more or now < self._next):
                self._held = _after_it(self._held, batch)
                self.due = self._next
                if not more:
                    self.until = self._soon(now)
                return None
            self.until = self._after(now, len(batch.data))
        return _after_it(self.rest(), batch)

    def rest(self) -> Arrival | None:
        """What has waited."""
        held, self._held = self._held, None
        self.due = math.inf
        return held

    def _soon(self, now: float) -> float:
        if self._next - now <= _LONGEST:
            return self._next
        return math.floor((now + _LONGEST) * _MOMENTS) / _MOMENTS

    def _after(self, now: float, events: int) -> float:
        if self.interval:
            moments = max(_MOMENTS, min(8 / self.interval, _FINEST))
            self._next = math.ceil((now + self.interval) * moments) / moments
            return self._soon(now)
        if self._first == math.inf:
            self._first = now
        else:
            self._events += events
        wait = min(self._most, self._share * (now - self._began))
        # A wait in which less than two events arrive is a waste.
        if wait * self._events <= 2 * (now - self._first):
            return 0.0
        moment = math.floor((now + wait) * _MOMENTS) / _MOMENTS
        return moment if moment > now + wait / 2 else now + wait


def _after_it(held: Arrival | None, batch: Arrival) -> Arrival:
    """What has waited and what has come now, as if one read had returned them."""
    if held is None:
        return batch
    return held.followed_by(batch) if batch.chunks else held
