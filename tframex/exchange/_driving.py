"""What the drivers need of an answer: one kind of answer is driven as the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tframex.errors import ModelError
from tframex.exchange._arrival import Arrival
from tframex.exchange._observer import Observer

__all__ = ["Answering", "Reading", "Request", "Step"]


class Request(Protocol):
    """What is sent, through the official client's `post`, or `get` where it has no body."""

    @property
    def model(self) -> str:
        """The served name."""

    @property
    def transport(self) -> Mapping[str, Any]:
        """Headers, parameters and the time limit."""

    def keywords(self) -> dict[str, Any]:
        """The keywords for the official client's method."""


class Step(Protocol):
    """What to do next."""

    @property
    def kind(self) -> str:
        """`"probe"`: ask who serves the model; anything else: send the request.

        One that retrieves (`"retrieve"`) what is there already is answered as soon as the next event is due.
        """

    @property
    def request(self) -> Request:
        """What to send."""

    @property
    def delay(self) -> float:
        """Seconds to wait before."""


class Reading(Protocol):
    """Reads the body of one response."""

    done: bool
    """The server has sent the last of it; what may follow is the end of the body."""
    over: bool
    """Nothing more is to be read."""
    complete: bool
    events: int
    failure: ModelError | None

    @property
    def begun(self) -> bool:
        """Whether some of the answer has arrived, in this response or before."""

    def opened(self, headers: Mapping[str, str]) -> None:
        """Note the headers of a successful response."""

    def feed(self, data: bytes) -> Arrival:
        """Take bytes of the body and return what is new to the reader."""


class Answering(Protocol):
    """One answer, over as many requests as it takes."""

    closed: bool
    """Its reader has left."""
    response: Any

    @property
    def request(self) -> Request:
        """What the user asks."""

    @property
    def observer(self) -> Observer:
        """Notified of what happens."""

    @property
    def reader(self) -> Reading:
        """Reads the present response."""

    @property
    def tail(self) -> Arrival:
        """What follows from the end of the answer, not from bytes."""

    @property
    def further(self) -> bool:
        """Whether the request to come is not the first of this answer."""

    def leave(self) -> None:
        """Note that its reader has left: nothing more is to be read or sent."""

    def first(self) -> Step | None:
        """The first request; None if there is nothing left to ask for."""

    def sending(self) -> None:
        """Note that the request of the last step is about to be sent."""

    def ended(self, error: ModelError | None) -> Step | None:
        """Note that a request has ended, and say what to send next."""

    def probed(self, owner: str) -> Step | None:
        """Note who serves the model, and say what to send."""
