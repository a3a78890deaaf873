"""What an endpoint says has become of a response, where the events that were asked for are none."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tframex.errors import ModelError
from tframex.exchange._arrival import Arrival
from tframex.exchange._failures import stream_cut

__all__ = ["STATUSES", "StatusReader"]

STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""The statuses of a response that has ended."""


class StatusReader:
    """Reads a response that was retrieved without its events.

    Args:
        model_id: For error messages.
    """

    def __init__(self, model_id: str) -> None:
        self.events = 0
        self.done = self.over = self.complete = self.marked = self.failed = self.empty = False
        self.failure: ModelError | None = None
        self._model_id = model_id
        self._pieces: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether any event has arrived: none has, or the response's status would not matter."""
        return False

    def opened(self, headers: Mapping[str, str]) -> None:
        """Nothing of the headers matters."""

    def feed(self, data: bytes) -> Arrival:
        """Take bytes of the body: it is complete when it is a response that has ended."""
        self._pieces.append(data)
        read = b"".join(self._pieces).rstrip()
        try:
            body = json.loads(read) if read.endswith(b"}") else None
        except ValueError:
            return Arrival()
        self.complete = isinstance(body, dict) and str(body.get("status")) in STATUSES
        return Arrival()

    def lack(self) -> ModelError:
        """What is wrong: the response has not ended, but no events came."""
        return stream_cut(model_id=self._model_id, why="the stream ended before the response was completed")
