"""Copying the arguments of a call when it is made."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from tframex.exchange._secrets import hide_values

__all__ = ["at_call", "copy_of"]

F = TypeVar("F", bound=Callable[..., Any])


def at_call(method: F) -> F:
    """Make an `async def` method that takes a conversation copy it when it is called.

    No part of such a method runs before it is awaited, or its first item is asked for. Until then, a chat loop may have
    changed its history; the one at the call is sent. The method itself still refuses wrong arguments. The values of
    headers and parameters are hidden from error reports with local variables.
    """

    @wraps(method)
    def taking(self: Any, *args: Any, **options: Any) -> Any:
        options = {name: _taken(value) for name, value in options.items()}
        hide_values(options)
        return method(self, *map(_taken, args), **options)

    if inspect.iscoroutinefunction(method):
        # For callers that check before they call. A generator function only shows what it is by what it returns.
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(taking)
        else:
            vars(taking)["_is_coroutine"] = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return cast(F, taking)


def copy_of(value: Any) -> Any:
    """A copy of dicts, lists and tuples, however deep; their other items cannot change, or are not ours.

    Raises:
        RecursionError: They contain themselves.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_of(item) for item in value]
    if type(value) is tuple:
        return tuple(map(copy_of, value))
    return value


def _taken(value: Any) -> Any:
    try:
        return copy_of(value)
    except RecursionError:
        # It is refused where the request is built.
        return value
