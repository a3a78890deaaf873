"""What has arrived of a response of the Responses API: its text, and the numbers of its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tframex.errors import ModelConnectionError

__all__ = ["EventTrail"]


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

    @property
    def anything(self) -> bool:
        """Whether the reader has been given any event."""
        return self.count > 0

    @property
    def text(self) -> str:
        """The text that has arrived, of all parts of the output."""
        return "".join(self._texts)

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

    def follow(self, numbers: Sequence[int]) -> bool:
        """Note many events; False, and nothing is noted, if they do not simply follow the last one."""
        before = self.last
        if before is None or not self.numbered:
            return False
        for number in numbers:
            if number != before + 1:
                return False
            before = number
        self.last = before
        self.count += len(numbers)
        return True

    def takes(self, number: object, *, joined: bool, model_id: str) -> bool:
        """Note one event, and say whether it is new.

        Args:
            number: Its number.
            joined: It belongs to a response that continues an earlier one.
            model_id: For error messages.

        Raises:
            ModelConnectionError: Events between this one and the last have not arrived.
        """
        known = number if isinstance(number, int) and not isinstance(number, bool) else None
        if not joined:
            self.numbered = self.numbered and known is not None and self.last in (None, known - 1)
            self.last = known
            self.count += 1
            return True
        if known is not None and self.last is not None and known <= self.last:
            return False
        if known is None or (self.last is not None and known != self.last + 1):
            self.numbered = False
            wanted = "one" if self.last is None else str(self.last + 1)
            raise ModelConnectionError(
                f"the endpoint continued the stream with event {number!r} where number {wanted} was next: some are lost",
                model_id=model_id,
            )
        self.last = known
        self.count += 1
        return True
