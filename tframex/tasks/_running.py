"""The event loop that runs here, asked for at every call."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import Any

import anyio
from anyio.lowlevel import EventLoopToken, current_token

__all__ = ["is_cancelled", "is_running", "now", "running_loop", "task_id"]


def running_loop() -> Any:
    """The running loop, of asyncio or trio: the `native_token` of anyio, which takes ten times as long to find it."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return current_token().native_token


def is_running(token: EventLoopToken | None) -> bool:
    """Whether a loop is the running one."""
    return token is not None and token.native_token is running_loop()


def now() -> float:
    """The time of the running loop, in seconds."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()


def task_id() -> int:
    """The running task, as anyio numbers it."""
    with suppress(RuntimeError):
        if (task := asyncio.current_task()) is not None:
            return id(task)
    return anyio.get_current_task().id


def is_cancelled() -> bool:
    """Whether the running task is being cancelled: else a cancellation that arrives here is that of something it awaited.

    Python 3.10 does not know how often a task was cancelled: there, every cancellation is taken for the task's.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or not hasattr(task, "cancelling") or task.cancelling() > 0
