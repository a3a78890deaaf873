"""The events of calls that run concurrently, in one iterator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio

from tframex.events import Event, RunFinished
from tframex.systems.many.samples import Samples
from tframex.tasks import Closing, emitted

__all__ = ["Emit", "merged_events"]

# Events that wait for the reader; then the calls wait.
_WAITING = 256

Emit = Callable[[Event], Awaitable[None]]
"""Hands an event to the reader, and waits while too many are waiting already."""


async def merged_events(run: Callable[[Emit], Awaitable[Samples]]) -> AsyncGenerator[Event, None]:
    """What `run` emits, in order, and `RunFinished` with what it returns.

    It runs in its own task, which owns whatever task groups it opens: none is open where this yields. Closing the
    iterator cancels it, and waits until its connections are closed.

    Args:
        run: Makes the calls; awaited with the function that takes their events.
    """
    room = anyio.Semaphore(_WAITING, fast_acquire=True)

    async def work(put: Callable[[Event], None]) -> None:
        async def emit(event: Event) -> None:
            await room.acquire()
            put(event)

        put(RunFinished(await run(emit)))

    async with Closing(emitted(work)) as events:
        async for event in events:
            room.release()
            yield event
