"""How many calls may be in flight: what the server turns out to take."""

from __future__ import annotations

import math

from tframex.tasks._limit import Limit

__all__ = ["AdaptiveLimit"]

_START = 4
# The factors by which a refusal, and a queue, lower the limit.
_REFUSED, _QUEUED = 0.8, 0.9
# First tokens that take this many times as long as usual have waited in a queue.
_QUEUE = 2.5
# Seconds beyond that for what this process itself may take.
_SLACK = 0.02
# Refusals that may be risked: 5 at first, and one for every 100 calls that were accepted.
_BUDGET, _SHARE = 5.0, 0.01
# How long the limit stays at what was refused before it tries more, as a multiple of the time that it took to get there.
_HOLD = 3
# Rounds between two moments at which the limit is halved, to learn what is usual: a client that starts while the server is
# full has never seen it without a queue.
_DRAIN = 50
# What is usual is the lowest mean over 16 calls, of the last 32 means or more: the server may have become slower since.
_ROW, _MEMORY = 16, 32


class AdaptiveLimit(Limit):
    """A limit that follows what the server can take.

    Additive increase and multiplicative decrease (Chiu and Jain 1989), as TCP does it. From a cold start every first
    token makes room for one more call, until the server refuses one (429, 503, no connection) or first tokens arrive
    late, which shows that calls wait in its queue. Then the limit is lowered by a fifth or a tenth and grows again,
    more slowly. A limit that was refused is tried again only occasionally, so that about one call in a hundred is
    refused; where more succeed for a while, the limit grows as from a cold start. Clients that share a server all lower
    their limits when it is full, the largest by the most, and so end up with about the same share.

    Args:
        maximum: What it never exceeds; None is no maximum.
    """

    def __init__(self, maximum: int | None = None) -> None:
        super().__init__(maximum)
        self._limit = float(min(_START, self.maximum))
        self._ceiling = math.inf
        """The limit that was too high the last time; infinite if none was."""
        self._budget = _BUDGET
        self._usual = _Usual()
        self._smoothed = 0.0
        self._drained = 0.0
        """The limit before it was halved to see how fast first tokens come without a queue; 0 at other times."""
        self._since_drain = 0
        self._hold = 0
        """For how many first tokens the limit stays at the ceiling; 0 if the ceiling is not known to be refused."""
        self._round = 0
        """First tokens since the last decrease, only of calls that were sent after it."""
        self._decreased = 0

    @property
    def limit(self) -> float:
        """How many calls may be in flight now."""
        return int(min(self._limit, self.maximum))

    def accepted(self, wait: float, number: int) -> None:
        """Note the first token of call `number`, which waited for it for `wait` seconds."""
        self._budget = min(_BUDGET, self._budget + _SHARE)
        self._usual.note(wait)
        # A call that was sent before the last decrease says nothing about the current limit.
        if number > self._decreased:
            self._round += 1
            self._since_drain += 1
            if self._drained:
                if self._round >= max(self._limit, _ROW):
                    self._limit, self._drained = self._drained, 0.0
                    self._restart()
            elif self._since_drain > _DRAIN * self._limit:
                drained = self._limit
                self._decrease(0.5)
                self._drained, self._since_drain = drained, 0
            else:
                self._adapt(wait)
        self._admit()

    def _adapt(self, wait: float) -> None:
        self._smoothed += (wait - self._smoothed) / min(self._round, max(8, self._limit / 2))
        if self._round >= 8 and self._smoothed > _QUEUE * self._usual.value + _SLACK:
            self._decrease(_QUEUED)
            self._hold = 0
        elif self._queue.many or self.in_flight >= self.limit:
            self._limit = min(self._limit + self._growth(), self.maximum)

    def refused(self) -> None:
        """Note a request that the server did not take."""
        super().refused()
        if not self.in_flight:
            # The request did not wait for a place here.
            return
        self._budget = max(-_BUDGET, self._budget - 1)
        # While more calls are in flight than the limit allows, the last decrease is still taking effect.
        if self.in_flight <= self._limit + 1:
            self._ceiling = max(1.0, self.in_flight - 1.0)
            self._decrease(_REFUSED)
            self._hold = 1

    def _growth(self) -> float:
        """What one first token adds to the limit."""
        if self._limit > 1.1 * self._ceiling + 1:
            # The server takes more than it did.
            self._ceiling = math.inf
        if math.isinf(self._ceiling):
            return 1.0
        # About one call for each round of calls, however large: so the smaller of two clients catches up.
        step = 1 / self._limit + 1 / 64
        if self._limit < self._ceiling and self._hold:
            self._hold = _HOLD * self._round
            return min(step, self._ceiling - self._limit)
        return step if self._round >= self._hold and self._budget >= 1 else 0.0

    def _decrease(self, factor: float) -> None:
        if math.isinf(self._ceiling):
            self._ceiling = self._limit
        self._limit = max(1.0, factor * min(self._limit, max(1, self.in_flight)))
        self._drained = 0.0
        self._restart()

    def _restart(self) -> None:
        """Consider only calls that are sent from now on."""
        self._decreased = self._entered
        self._usual.restart()
        self._round = 0
        self._smoothed = 0.0


class _Usual:
    """How long a first token takes without a queue: the lowest mean of several calls in a row.

    Single waits differ by the length of the prompt and by what is in the prefix cache.
    """

    def __init__(self) -> None:
        self.value = math.inf
        self._next = math.inf
        self._means = 0
        self._sum = 0.0
        self._count = 0

    def note(self, wait: float) -> None:
        self._sum += wait
        self._count += 1
        if self._count >= _ROW:
            mean = self._sum / self._count
            self.value, self._next = min(self.value, mean), min(self._next, mean)
            self._means += 1
            self.restart()
        if self._means == _MEMORY:
            self.value, self._next, self._means = self._next, math.inf, 0

    def restart(self) -> None:
        """Start a new mean."""
        self._sum, self._count = 0.0, 0
