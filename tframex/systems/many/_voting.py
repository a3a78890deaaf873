"""Votes over answers, and when enough of them are in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import anyio

from tframex.completion import Completion
from tframex.errors import ConfigurationError
from tframex.model import Output
from tframex.systems.many.samples import Sample, Samples, Vote
from tframex.tasks import ABORTS, call_user
from tframex.text import strip_thinking

__all__ = ["Ballot", "VoteKey", "certainty", "last_line", "needed"]

VoteKey: TypeAlias = Callable[[Any], "str | Awaitable[str | None] | None"]
"""What an answer says: a short text that equal answers have in common; None for an answer that does not count. It gets the
text of the answer, or with `output_type` its value. A synchronous one runs in a worker thread, for one answer after the
other."""

# Calls in flight beyond those that could decide the vote.
_SPARE = 1


def last_line(text: str) -> str | None:
    """What an answer says in its last line, without white space, case and a final full stop; None if it says nothing."""
    lines = strip_thinking(text).strip().splitlines()
    return (" ".join(lines[-1].split()).casefold().removesuffix(".") or None) if lines else None


class Ballot:
    """One vote.

    Args:
        most: The most answers.
        confidence: When it is decided.
        key: What an answer says.
        allow_truncated: Let answers vote that were cut off.
        output_type: The type of the answers, or None for texts.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        most: int,
        confidence: float,
        key: VoteKey | None,
        *,
        allow_truncated: bool = False,
        output_type: Any = None,
    ) -> None:
        if not isinstance(confidence, (int, float)) or not 0.5 < confidence <= 1:
            raise ConfigurationError(f"confidence must be above 0.5 and at most 1, not {confidence!r}")
        if key is not None and not callable(key):
            raise ConfigurationError(f"key must be a function from an answer to what it says, not {key!r}")
        self.samples: list[Sample] = []
        self._most = most
        self._confidence = confidence
        self._key = key
        self._allow_truncated = allow_truncated
        self._output: Output[Any] | None = None if output_type is None else Output.of(output_type)
        # One after the other: a function need not expect to be called by two threads.
        self._thread = anyio.CapacityLimiter(1)
        self._counts: Counter[str] = Counter()
        self._first: dict[str, Completion] = {}
        self._sent = 0
        self._running = 0

    async def hold(self, call: Callable[[int], Awaitable[Sample]], cancel: Callable[[], None]) -> None:
        """Send calls until the vote is decided.

        Args:
            call: Makes the call of a number.
            cancel: Stops all calls that are in flight.
        """
        failures: list[BaseException] = []

        async def one(index: int) -> None:
            try:
                await self._take(await call(index))
            except ABORTS as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return
            self._running -= 1
            send()

        def send() -> None:
            wanted = self._needed()
            if wanted == 0:
                cancel()
                return
            # More than could decide the vote would be paid for and wasted; a spare one keeps a slow one from holding it up.
            while self._running < wanted + _SPARE and self._sent < self._most:
                self._sent += 1
                self._running += 1
                group.start_soon(one, self._sent)

        async with anyio.create_task_group() as group:
            send()
        if failures:
            raise failures[0]

    def result(self, samples: Samples) -> Vote:
        """Who has won.

        Raises:
            PartialFailureError: No answer counts.
        """
        if not self._counts:
            unusable = "says anything that counts; look at what `key` makes of them"
            raise samples.unusable(unusable, {}, "" if self._allow_truncated else "have no vote")
        counts = dict(self._counts.most_common())
        winner = next(iter(counts))
        first = self._first[winner]
        return Vote(winner, first.text, counts, certainty(*self._state()), samples, first.output)

    async def _take(self, sample: Sample) -> None:
        completion = sample.completion
        if completion is not None and not sample.cancelled and (self._allow_truncated or not sample.truncated):
            try:
                said = await self._said(completion)
                if said is not None:
                    self._counts[said] += 1
                    self._first.setdefault(said, completion)
            except Exception as error:
                # The others have been paid for.
                sample = replace(sample, error=error)
        if sample.seconds or not sample.cancelled:
            self.samples.append(sample)

    async def _said(self, completion: Completion) -> str | None:
        typed = self._output is not None
        if self._key is None:
            return last_line(completion.text) if self._output is None else self._output.key(completion.output)
        asked = completion.output if typed else completion.text
        said: str | None = await call_user(self._key, asked, limiter=self._thread)
        return said

    @property
    def _left(self) -> int:
        """Votes still to come."""
        return self._most - sum(not sample.cancelled for sample in self.samples)

    def _state(self) -> tuple[int, int, int, int]:
        """Votes for the leader and the runner-up, those still to come, and those for all others."""
        (_, leader), (_, runner_up) = [*self._counts.most_common(2), ("", 0), ("", 0)][:2]
        return leader, runner_up, self._left, self._counts.total() - leader - runner_up

    def _needed(self) -> int:
        return needed(*self._state(), self._confidence)


def certainty(leader: int, runner_up: int, left: int, others: int = 0) -> float:
    """How probable it is that the leader is still ahead after `left` more votes.

    As many of those as so far (and no fewer) go to one of the two that are ahead, in an unknown proportion, of which the
    votes so far are the evidence: with a uniform prior, the number of further votes for the runner-up is beta-binomial.

    Args:
        leader: Votes for the answer that is ahead.
        runner_up: Votes for the next.
        left: Votes still to come.
        others: Votes for all other answers.
    """
    if leader - runner_up > left:
        return 1.0
    both = leader + runner_up + 1
    left = math.ceil(left * both / (both + others))
    # The runner-up must not draw level: leader + (left - x) > runner_up + x.
    most = min(left, (leader - runner_up + left - 1) // 2)
    a, b = runner_up + 1, leader + 1
    # Only votes that cannot be caught up with are certain.
    return min(1 - 1e-12, sum(math.exp(_log_beta_binomial(x, left, a, b)) for x in range(most + 1)))


def needed(leader: int, runner_up: int, left: int, others: int, confidence: float) -> int:
    """How many further votes for the leader would decide the vote, at the least; 0 if it is decided."""
    for more in range(left + 1):
        if certainty(leader + more, runner_up, left - more, others) >= confidence:
            return more
    return left


def _log_beta_binomial(x: int, n: int, a: int, b: int) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)
    return choose + _log_beta(x + a, n - x + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
