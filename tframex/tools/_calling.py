"""Calling a tool's function within its time."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import current_token

from tframex.tasks import call_user, is_async
from tframex.tools._failures import ToolFailure

__all__ = ["call_within"]


async def call_within(
    function: Callable[[], Any], name: str, timeout: float | None, limiter: anyio.CapacityLimiter | None
) -> Any:
    """Call a tool's function, in a worker thread unless it is asynchronous.

    Args:
        function: What to call, without arguments.
        name: The tool.
        timeout: Seconds that it may take, or None. An asynchronous function is cancelled then. A thread cannot be stopped:
            it is left alone, and what its function returns is dropped. A run that is cancelled waits for it until then.
        limiter: How many threads may be in use.

    Raises:
        ToolFailure: The time has passed.
    """
    if timeout is None:
        return await call_user(function, limiter=limiter)
    asynchronous = is_async(function)
    with anyio.move_on_after(timeout) as scope:
        if asynchronous:
            return await function()
        value = await _abandonable(function, timeout, limiter)
        return await value if inspect.isawaitable(value) else value
    if not scope.cancelled_caught:  # pragma: no cover - a scope ends by its deadline or by returning
        raise AssertionError
    rest = "It was cancelled." if asynchronous else "It has not been stopped, and may still take effect."
    raise ToolFailure(f"{name} did not finish within {timeout:g} seconds. {rest}")


async def _abandonable(function: Callable[[], Any], timeout: float, limiter: anyio.CapacityLimiter | None) -> Any:
    """Call a function in a thread, which is left alone at `timeout`, and waited for until then if the run is cancelled."""
    ended, token, deadline = anyio.Event(), current_token(), anyio.current_time() + timeout
    returned: list[Any] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(function())
        except BaseException as error:
            raised.append(error)
        finally:
            # The loop may have ended long before.
            with suppress(RuntimeError):
                anyio.from_thread.run_sync(ended.set, token=token)

    try:
        await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True, deadline=min(deadline, math.inf)):
            await ended.wait()
        # It has taken effect, and what has become of it is known. The next wait of the caller is cancelled all the same;
        # asyncio's own cancellation does not come a second time.
        if not ended.is_set() or anyio.current_effective_deadline() > -math.inf:
            raise
    if raised:
        raise raised[0]
    return returned[0]
