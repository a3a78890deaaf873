"""Moments that many streams wait for together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Ticks"]


class Ticks:
    """One timer for each moment, however many wait for it: two thousand streams would set eight thousand a second.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[float, list[Callable[[float], None]]] = {}

    def at(self, moment: float, call: Callable[[float], None]) -> None:
        """Call `call(moment)` then; what has changed its mind ignores it.

        Args:
            moment: On the clock of the event loop.
            call: Must not raise.
        """
        waiting = self._waiting.get(moment)
        if waiting is not None:
            waiting.append(call)
            return
        self._waiting[moment] = [call]
        self._loop.call_at(moment, self._ring, moment)

    def _ring(self, moment: float) -> None:
        for call in self._waiting.pop(moment):
            try:
                call(moment)
            except Exception as exc:
                self._loop.call_exception_handler({"message": "a stream could not be read", "exception": exc})
