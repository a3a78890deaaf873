"""Tasks that belong to no task group."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

from anyio.lowlevel import current_token

__all__ = ["spawn"]


def spawn(run: Callable[[], Awaitable[None]]) -> object:
    """Start a task that belongs to no task group. Keep what is returned until it has ended.

    It is cancelled when its event loop ends.

    Args:
        run: The task. It must raise nothing but what cancels it: trio would end.
    """
    if isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        return asyncio.ensure_future(run())
    import trio

    return trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())
