"""How many calls may be in flight at once, found out while they run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

__all__ = ["AdaptiveLimit", "Place"]

_START = 4
# How far a refusal, and a queue, bring the limit down.
_REFUSED, _QUEUED = 0.8, 0.9
# A first token that takes so many times the shortest wait has stood in a queue.
_QUEUE = 2.0
# After a refusal so many calls go by before more than was refused is tried again: it may be refused again.
_PATIENCE = 128
# The shortest waits are forgotten after so many answers: the server may have become a slower one.
_MEMORY = 512
# Seconds after a decrease in which further refusals belong to the calls that caused it.
_ECHO = 0.1


class AdaptiveLimit:
    """A limit on calls in flight that follows what the server can take.

    Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does it: from a cold start the limit grows by
    a quarter with each round of first tokens, until the server refuses a call (429, 503, no connection) or first tokens come
    late, which shows that calls wait in its queue. A refusal brings the limit down at once. It then climbs back to just below
    what was refused and stays there for a while before it tries more, so that few calls are refused; if more goes
    well, it grows as from a cold start. Clients that share a server all come down when it is full, those with the most
    calls the most often, and so end up with about the same share.

    Args:
        maximum: What it never exceeds; None is no maximum.
    """

    def __init__(self, maximum: int | None = None) -> None:
        self.maximum = math.inf if maximum is None else maximum
        self.in_flight = 0
        self.refusals = 0
        """How many requests the server has refused."""
        self._limit = float(min(_START, self.maximum))
        self._waiting: deque[anyio.Event] = deque()
        self._ceiling = math.inf
        """What was refused last; infinite as long as nothing has been."""
        self._since = 0
        """First tokens since the last decrease."""
        self._waits: deque[float] = deque(maxlen=_MEMORY)
        self._shortest = math.inf
        self._smoothed = 0.0
        self._quiet_until = -math.inf

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(min(self._limit, self.maximum))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Wait for a place among the calls in flight and hold it."""
        await self._enter()
        try:
            yield Place(self)
        finally:
            self.in_flight -= 1
            self._admit()

    async def _enter(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # The place was given away in the moment this call was cancelled.
                self.in_flight -= 1
                self._admit()
            else:
                self._waiting.remove(turn)
            raise

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            self.in_flight += 1
            self._waiting.popleft().set()

    # -- what is learned from -------------------------------------------------------------------------------------

    def accepted(self, wait: float) -> None:
        """Note a first token that came `wait` seconds after the call was sent."""
        self._since += 1
        self._remember(wait)
        if self._smoothed > _QUEUE * self._shortest:
            self._decrease(_QUEUED)
        elif self._waiting or self.in_flight >= self.limit:
            self._limit = min(self._limit + self._growth(), self.maximum)
        self._admit()

    def refused(self) -> None:
        """Note a request that the server did not take."""
        self.refusals += 1
        if anyio.current_time() >= self._quiet_until:
            self._ceiling = max(1.0, min(self._limit, self.in_flight))
            self._decrease(_REFUSED)

    def _growth(self) -> float:
        """What one first token adds: a part of what makes a round of them."""
        if self._limit < 0.95 * self._ceiling - 1:
            return 0.25
        if self._since < _PATIENCE:
            return 0.0
        if self._limit > 1.1 * self._ceiling + 1:
            # It takes more than it did.
            self._ceiling = math.inf
        return 1 / self._limit

    def _decrease(self, factor: float) -> None:
        now = anyio.current_time()
        if now < self._quiet_until:
            return
        self._limit = max(1.0, factor * min(self._limit, max(1, self.in_flight)))
        self._since = 0
        self._quiet_until = now + max(_ECHO, self._smoothed)

    def _remember(self, wait: float) -> None:
        weight = 2 / (1 + max(8, self.limit))
        self._smoothed = wait if not self._waits else self._smoothed + weight * (wait - self._smoothed)
        if len(self._waits) == _MEMORY and self._waits[0] <= self._shortest:
            self._waits.append(wait)
            self._shortest = min(self._waits)
        else:
            self._waits.append(wait)
            self._shortest = min(self._shortest, wait)

    def __repr__(self) -> str:
        return f"AdaptiveLimit({self.in_flight} of {self.limit} in flight)"


class Place:
    """One call's place among those in flight.

    Args:
        limit: Where it belongs.
    """

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._limit = limit
        self._sent = anyio.current_time()
        self._answered = False

    def answered(self) -> None:
        """Note that something of the answer has come; only the first time counts."""
        if not self._answered:
            self._answered = True
            self._limit.accepted(anyio.current_time() - self._sent)
