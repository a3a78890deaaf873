"""How many runs of an agent may be in flight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tframex.tasks import OF_MANY, AdaptiveLimit, Place

__all__ = ["RunLimit"]

# Runs that call tools leave the server alone meanwhile: more of them than calls that it takes, and these at least.
_FACTOR, _LEAST = 2, 8


class RunLimit(AdaptiveLimit):
    """Lets some more runs of an agent be in flight than calls of its model, so that runs end before others begin.

    The calls of the runs wait for their places at the model's own limit, which alone learns what the server takes.

    Args:
        calls: The limit of the model.
    """

    def __init__(self, calls: AdaptiveLimit) -> None:
        self._calls = calls
        super().__init__(None)

    @property
    def limit(self) -> float:
        """How many runs may be in flight now."""
        return max(_LEAST, _FACTOR * self._calls.limit)

    @property
    def refusals(self) -> int:
        """How many requests the server has refused."""
        return self._calls.refusals

    @refusals.setter
    def refusals(self, value: int) -> None:
        pass

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Wait for a place for a run, and hold it. A run inside another one, of a tool say, does not wait for that one."""
        if OF_MANY.get():
            yield Place(self, None, 0)
            return
        async with super().place() as place:
            yield place

    def accepted(self, wait: float, number: int) -> None:
        """Note that a run has received something: the model's limit may have grown."""
        self._admit()

    def refused(self) -> None:
        """Note nothing: requests do not wait here."""
