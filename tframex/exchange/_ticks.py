"""Moments that many streams wait for together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

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
        self._call(iter(self._waiting.pop(moment)), moment)

    def _call(self, calls: Iterator[Callable[[float], None]], moment: float) -> None:
        try:
            for call in calls:
                try:
                    call(moment)
                except Exception as exc:
                    self._loop.call_exception_handler({"message": "a stream could not be read", "exception": exc})
        except BaseException:
            # Ctrl-C ends the program, or a task of it: the other streams of this moment are to be read in any case.
            self._loop.call_soon(self._call, calls, moment)
            raise
