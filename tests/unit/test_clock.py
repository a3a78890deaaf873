"""Time limits for single reads."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

import anyio
import pytest

from tframex.exchange._clock import ReadClock, read_clock


async def ticks(*pauses: float) -> AsyncGenerator[int, None]:
    for number, pause in enumerate(pauses):
        await anyio.sleep(pause)
        yield number


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_read_that_takes_too_long_is_ended_and_others_are_not(backend: str) -> None:
    async def body() -> None:
        clock = read_clock()
        assert (type(clock) is ReadClock) == (backend == "trio")
        items = ticks(0, 0.01, 0.01, 30)
        assert [await clock.wait(items.__anext__(), clock.now() + 5) for _ in range(2)] == [0, 1]
        assert await clock.wait(items.__anext__(), math.inf) == 2
        with pytest.raises(TimeoutError):
            await clock.wait(items.__anext__(), clock.now() + 0.05)
        with pytest.raises(StopAsyncIteration):
            await clock.wait(ticks().__anext__(), clock.now() + 1)
        clock.close()

    anyio.run(body, backend=backend)


def test_an_earlier_deadline_moves_the_timer_and_a_later_one_lets_it_ring_again() -> None:
    async def body() -> None:
        clock = read_clock()
        items = ticks(0, 0.08, 30)
        await clock.wait(items.__anext__(), clock.now() + 0.05)
        await clock.wait(
            items.__anext__(), clock.now() + 30
        )  # the timer of the first read rings in the middle of this one
        with pytest.raises(TimeoutError):
            await clock.wait(items.__anext__(), clock.now() + 0.01)
        clock.close()

    asyncio.run(body())


def test_a_timer_that_rings_while_nobody_reads_does_no_harm() -> None:
    async def body() -> None:
        clock = read_clock()
        items = ticks(0, 0)
        await clock.wait(items.__anext__(), clock.now() + 0.01)
        await asyncio.sleep(0.03)
        assert await clock.wait(items.__anext__(), clock.now() + 1) == 1
        clock.close()

    asyncio.run(body())


def test_a_cancellation_from_outside_is_not_taken_for_a_time_limit() -> None:
    async def body() -> None:
        clock = read_clock()

        async def read() -> None:
            await clock.wait(ticks(30).__anext__(), clock.now() + 20)

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        clock.close()

    asyncio.run(body())


def test_a_task_can_go_on_after_a_time_limit_inside_a_cancel_scope() -> None:
    async def body() -> None:
        clock = read_clock()
        with anyio.move_on_after(5) as scope:
            with pytest.raises(TimeoutError):
                await clock.wait(ticks(30).__anext__(), clock.now() + 0.01)
            await anyio.sleep(0.01)
        assert not scope.cancelled_caught
        clock.close()

    asyncio.run(body())
