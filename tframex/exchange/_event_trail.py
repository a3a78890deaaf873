"""What has arrived of a response of the Responses API: its text, and the numbers of its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tframex.errors import ModelConnectionError
from tframex.exchange._odd_json import put_together

__all__ = ["KEEPALIVE", "TEXT", "EventTrail"]

TEXT = "response.output_text.delta"
"""The type of events that are text of the output."""
KEEPALIVE = "keepalive"
"""The type of events that say nothing."""
# They are no part of the response; whether they are counted differs from server to server.
_ASIDE = frozenset({"error", KEEPALIVE})
_FIRST = frozenset({"response.created", "response.queued"})


class EventTrail:
    """Follows the events of one response over all requests that they take.

    Attributes:
        response_id: What the endpoint calls the response; empty as long as it has not said.
        background: It says that the response is generated in the background; None: it says nothing of that.
        reported: The endpoint reports what becomes of the response.
        last: The number of the last event.
        numbered: Each event so far had the number after the one before, so that a missing one would be noticed.
        count: How many events have arrived.
    """

    def __init__(self, response_id: str = "", last: int | None = None) -> None:
        self.response_id = response_id
        self.background: bool | None = None
        self.reported = False
        self.last = last
        self.numbered = True
        self.count = 0
        self._texts: list[str] = []
        self._first: tuple[object, int | None] | None = None
        self._aside: dict[int, str] = {}
        # Of the present request: its first event has not arrived; it may repeat events; it repeats all of them; their text.
        self._undecided = self._replaying = self._complete_replay = False
        self._repeated: list[str] = []

    @property
    def anything(self) -> bool:
        """Whether the reader has been given any event."""
        return self.count > 0

    @property
    def text(self) -> str:
        """The text that has arrived, of all parts of the output."""
        return put_together("".join(self._texts))

    def note_texts(self, texts: list[str]) -> None:
        """Note pieces of the output's text."""
        self._texts += texts

    def note_response(self, response: Mapping[str, Any]) -> object:
        """Note what an event says of the response, and return its status; None if it is another response."""
        self.reported = True
        name = response.get("id")
        if isinstance(name, str):
            self.response_id = self.response_id or name
            if name != self.response_id:
                return None
        if isinstance(flag := response.get("background"), bool):
            self.background = flag
        return response.get("status")

    def rejoin(self) -> None:
        """Note that another request is sent: how its first event is numbered tells what it repeats."""
        self._undecided = self._replaying = self.anything
        self._complete_replay = False
        self._repeated = []

    def follow(self, numbers: Sequence[int]) -> bool:
        """Note many events; False, and nothing is noted, if they do not simply follow the last one."""
        before = self.last
        if before is None or not self.numbered or self._replaying:
            return False
        for number in numbers:
            if number != before + 1:
                return False
            before = number
        self.last = before
        self.count += len(numbers)
        return True

    def takes(self, event: Any, *, joined: bool, model_id: str) -> bool:
        """Note one event, and say whether it is new.

        Args:
            event: It has a `type` and a `sequence_number`, of whatever kind.
            joined: It belongs to a response that continues an earlier one.
            model_id: For error messages.

        Raises:
            ModelConnectionError: Events between this one and the last have not arrived.
        """
        kind, number = event.type, event.sequence_number
        known = number if isinstance(number, int) and not isinstance(number, bool) else None
        if kind in _ASIDE:
            return self._takes_aside(kind, known, joined=joined)
        if joined:
            if not self._is_new(event, known, model_id):
                return False
        else:
            self.numbered = self.numbered and known is not None and self._is_next(known)
        if self._first is None:
            self._first = (kind, known)
        self.last = known
        self.count += 1
        return True

    def _takes_aside(self, kind: str, number: int | None, *, joined: bool) -> bool:
        """Note an event that may have its own number, or one of the response's, or none."""
        if number is not None:
            if joined and self._aside.get(number) == kind:
                return False
            self._aside[number] = kind
        self.count += 1
        return True

    def _is_next(self, number: int) -> bool:
        """Whether nothing is missing between the last event and the one with this number."""
        if self.last is None or number <= self.last:
            return self.last is None
        between = range(self.last + 1, number)
        return len(between) <= len(self._aside) and all(other in self._aside for other in between)

    def _is_new(self, event: Any, number: int | None, model_id: str) -> bool:
        """Whether an event of a response that continues another is new, and not repeated.

        The only repetition is a complete one: an endpoint that ignores where it is asked to begin. One that counts from 0
        again would otherwise lose as many events as had arrived.
        """
        follows = number is not None and self._is_next(number)
        if self._undecided:
            self._undecided = False
            self._complete_replay = event.type in _FIRST or (event.type, number) == self._first
        if follows and not (self._complete_replay and not "".join(self._repeated).endswith(self.text)):
            self._replaying = self._complete_replay = False
            return True
        if self._complete_replay and number is not None and self.last is not None and number <= self.last:
            if event.type == TEXT and isinstance(event.delta, str):
                self._repeated.append(event.delta)
            return False
        self.numbered = False
        wanted = "one" if self.last is None else str(self.last + 1)
        raise ModelConnectionError(
            f"the endpoint continued the stream with event {number!r} where number {wanted} was next: some are lost",
            model_id=model_id,
        )
