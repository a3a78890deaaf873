"""Tasks that belong to no task group."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

from anyio.lowlevel import current_token

__all__ = ["spawn"]


def spawn(run: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> object:
    """Start a task that belongs to no task group. Keep what is returned until it has ended.

    It is cancelled when its event loop ends.

    Args:
        run: The task. It must raise nothing but what cancels it: trio would end.
        ended: Called when it has ended, also where its loop has ended before it began: then no part of it runs.
    """
    if isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        task = asyncio.ensure_future(run())
        task.add_done_callback(lambda _: ended())
        return task
    import trio

    async def running() -> None:
        try:
            await run()
        finally:
            ended()

    return trio.lowlevel.spawn_system_task(running, context=contextvars.copy_context())
