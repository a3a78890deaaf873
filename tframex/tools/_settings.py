"""The settings of a tool, checked."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

from tframex.errors import ConfigurationError
from tframex.tools._context import ToolContext

__all__ = ["OnUncertain", "checked_name", "checked_policy", "checked_timeout", "in_class"]

OnUncertain: TypeAlias = Literal["ask", "retry", "key"] | Callable[[ToolContext[Any]], Any]
"""What is done about a call that a kill has interrupted: see `Tool`."""

# What the Chat Completions API takes as a function's name.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def checked_name(name: str | None, function: Callable[..., Any]) -> str:
    """The name of a tool: the given one, or the function's."""
    found = name if name is not None else _name_of(function)
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ConfigurationError(
            f"a tool cannot have the name {found!r}: the API takes 1 to 64 letters, digits, underscores and hyphens. "
            'Give another with tool(name="...").'
        )
    return found


def _name_of(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", "") or type(function).__name__


def checked_timeout(timeout: float | None) -> float | None:
    """Seconds above 0, or None."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < math.inf:
        raise ConfigurationError(f"timeout must be a number of seconds above 0, or None, not {timeout!r}")
    return timeout


def checked_policy(policy: OnUncertain) -> OnUncertain:
    """What to do about an uncertain call."""
    if not callable(policy) and policy not in ("ask", "retry", "key"):
        raise ConfigurationError(f'on_uncertain must be "ask", "retry", "key" or a function, not {policy!r}')
    return policy


def in_class(function: Callable[..., Any]) -> bool:
    """Whether a function was defined in a class and is not bound to an object yet."""
    parent = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(parent) and not parent.endswith("<locals>") and inspect.isfunction(function)
