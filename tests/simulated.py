"""Servers of a chosen capacity, in the virtual time of trio's mock clock: hours pass in seconds, always the same way."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing

from tframex.tasks import AdaptiveLimit, Limit, Place

__all__ = ["Outcome", "Server", "in_virtual_time", "share", "throughput"]


class FullError(Exception):
    """The server has too many calls."""


@dataclass
class Server:
    """Works on `slots` calls concurrently, lets `queue` more wait, and refuses what comes beyond that.

    Attributes:
        slots: Calls it works on concurrently.
        queue: Calls that may wait.
        requests: What has come.
        refused: What of it was refused.
    """

    slots: int
    queue: int = 0
    requests: int = 0
    refused: int = 0
    seed: int = 1
    _running: int = 0
    _waiting: deque[trio.Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def call(self, first_token: Callable[[], None]) -> None:
        """One answer: 50 ms to its first token, then 20 to 80 tokens at 50 a second."""
        self.requests += 1
        if self._running >= self.slots:
            if len(self._waiting) >= self.queue:
                self.refused += 1
                raise FullError
            turn = trio.Event()
            self._waiting.append(turn)
            await turn.wait()
        else:
            self._running += 1
        await trio.sleep(0.05 * self._random.uniform(0.8, 1.2))
        first_token()
        await trio.sleep(0.02 * self._random.randint(20, 80))
        if self._waiting and self._running <= self.slots:
            self._waiting.popleft().set()
        else:
            self._running -= 1

    def resize(self, slots: int) -> None:
        """Become a larger or a smaller server."""
        self.slots = slots
        while self._waiting and self._running < slots:
            self._running += 1
            self._waiting.popleft().set()


@dataclass
class Outcome:
    """What a client got.

    Attributes:
        ended: When each of its calls ended.
    """

    ended: list[float] = field(default_factory=list)


async def _client(limit: Limit, server: Server, calls: int, outcome: Outcome) -> None:
    backoff = random.Random(3)

    async def one() -> None:
        place: AbstractAsyncContextManager[Place] = limit.place()
        async with place as held:
            attempt = 0
            while True:
                try:
                    await server.call(held.answered)
                    break
                except FullError:
                    limit.refused()
                    attempt += 1
                    await trio.sleep(backoff.uniform(0, min(8, 0.5 * 2**attempt)))
        outcome.ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(calls):
            nursery.start_soon(one)


def in_virtual_time(body: Callable[[], Awaitable[Any]]) -> Any:
    """Run `body` in trio, whose clock jumps ahead whenever all tasks sleep."""
    return trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


def throughput(server: Server, calls: int, limit: Limit, *, change: tuple[float, int] | None = None) -> float:
    """Calls in a second.

    Args:
        server: Who answers them.
        calls: How many.
        limit: How many concurrently.
        change: When the server gets another number of slots, and which.
    """

    async def body() -> float:
        outcome = Outcome()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            if change is not None:
                nursery.start_soon(_resize, server, *change)
            await _client(limit, server, calls, outcome)
            nursery.cancel_scope.cancel()
        return calls / (max(outcome.ended) - began)

    result: float = in_virtual_time(body)
    return result


async def _resize(server: Server, after: float, slots: int) -> None:
    await trio.sleep(after)
    server.resize(slots)


def share(server: Server, *, later: float, seconds: float) -> float:
    """Calls of the one of two clients that got less, over those of the other, in the second half of their time together.

    Args:
        server: The server they share.
        later: How much later the second client comes.
        seconds: How long they are there together.
    """

    async def body() -> float:
        outcomes = Outcome(), Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_client, AdaptiveLimit(), server, 9000, outcomes[0])
            await trio.sleep(later)
            nursery.start_soon(_client, AdaptiveLimit(), server, 9000, outcomes[1])
            await trio.sleep(seconds / 2)
            half = trio.current_time()
            await trio.sleep(seconds / 2)
            nursery.cancel_scope.cancel()
        got = [sum(end > half for end in outcome.ended) for outcome in outcomes]
        return min(got) / max(got)

    result: float = in_virtual_time(body)
    return result
