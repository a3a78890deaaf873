"""Calling functions that a user has passed in, such as judges and keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

__all__ = ["ABORTS", "call_user", "is_async"]

ABORTS = (Exception, SystemExit, KeyboardInterrupt)
"""What a user's function may raise. A child task hands these to its parent: on asyncio, a `SystemExit` from a child task
ends the event loop, and from a task group it arrives inside an exception group, which does not end the program."""


async def call_user(function: Callable[..., Any], *arguments: Any, limiter: anyio.CapacityLimiter | None = None) -> Any:
    """Call a user's function: an asynchronous one is awaited, a synchronous one is called in a worker thread.

    So a synchronous one may be slow, and may use objects of `tframex.sync`, which wait for the event loop. A cancelled
    caller waits until the function has returned: no part of it runs after the run is over.

    Args:
        function: What to call.
        arguments: Its arguments.
        limiter: How many threads may be in use for such functions; by default anyio's own limiter.
    """
    if is_async(function):
        return await function(*arguments)
    # A lambda may return a coroutine, which trio does not take from a thread by itself.
    (value,) = await anyio.to_thread.run_sync(lambda: (function(*arguments),), limiter=limiter)
    return await value if inspect.isawaitable(value) else value


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling a function returns something to await."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
