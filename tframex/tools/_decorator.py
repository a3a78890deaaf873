"""The decorator that makes a function a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from tframex.tools._settings import OnUncertain
from tframex.tools._tool import Tool

__all__ = ["tool"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    approve: bool | Callable[..., bool] = False,
    on_uncertain: OnUncertain = "ask",
    max_result_tokens: int | None = None,
    strict: bool | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a typed function a tool: `@tool`, or `@tool(timeout=10, on_uncertain="retry")`.

    A function without settings needs no decorator: `tools=[function]` is the same.

    Args:
        function: The function.
        **settings: The settings of `Tool`.

    Raises:
        ConfigurationError: The function is none that a model can call, or a setting is wrong.
    """
    if function is not None:
        return Tool(function, **settings)
    return lambda function: Tool(function, **settings)
