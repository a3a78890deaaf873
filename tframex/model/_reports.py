"""What happened to the requests of one call, as events."""

from __future__ import annotations

from typing import Literal

from tframex.errors import ModelError
from tframex.events import CallResumed, CallRetried, Event
from tframex.exchange import Observer

__all__ = ["Reports"]


class Reports(Observer):
    """Keeps retries and resumes until `take`, and passes all reports on to another observer.

    Args:
        step: Which step of a run the call is.
        to: The other observer.
    """

    def __init__(self, step: str, to: Observer) -> None:
        self.step = step
        self._to = to
        self._events: list[Event] = []

    def take(self) -> list[Event]:
        """What has been reported since the last time."""
        events, self._events = self._events, []
        return events

    def sent(self, kind: Literal["fresh", "tokens", "continue"]) -> None:
        self._to.sent(kind)

    def first_event(self) -> None:
        self._to.first_event()

    def broke_off(self, error: ModelError) -> None:
        self._to.broke_off(error)

    def retried(self, error: ModelError, *, delay: float, dropped: int) -> None:
        self._events.append(CallRetried(self.step, error, delay, dropped))
        self._to.retried(error, delay=delay, dropped=dropped)

    def resumed(self, error: ModelError, *, how: Literal["tokens", "continue"], tokens: int, delay: float) -> None:
        self._events.append(CallResumed(self.step, error, how, tokens, delay))
        self._to.resumed(error, how=how, tokens=tokens, delay=delay)

    def ended(self, error: BaseException | None) -> None:
        self._to.ended(error)
