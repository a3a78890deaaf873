"""The parameters of a function as the model sees them."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tframex.errors import ConfigurationError
from tframex.tools._context import ToolContext

__all__ = ["Signature", "context_of", "signature_of", "surroundings"]


@dataclass(frozen=True)
class Signature:
    """How a tool's function is called.

    Attributes:
        parameters: What the model gives, with evaluated annotations.
        context: The parameter that gets the `ToolContext`, if there is one.
        positional: The parameters that have no name for callers, in order.
    """

    parameters: tuple[inspect.Parameter, ...]
    context: str | None
    positional: tuple[str, ...]

    def bind(self, values: Mapping[str, Any], context: object) -> tuple[list[Any], dict[str, Any]]:
        """The arguments to call the function with."""
        named = dict(values)
        if self.context is not None:
            named[self.context] = context
        return [named.pop(name) for name in self.positional if name in named], named


def signature_of(function: Callable[..., Any], name: str, surrounding: Mapping[str, Any]) -> Signature:
    """Read a function's signature.

    Args:
        function: The function, method, partial or object that can be called.
        name: What the tool is called in messages.
        surrounding: The variables around its definition, for annotations that are text.

    Raises:
        ConfigurationError: It has parameters that a model cannot fill.
        NameError: An annotation names something that is not defined, or not yet.
    """
    # What a partial has bound by name is fixed, and none of the model's business.
    bound = _bound(function)
    # A typed parameter after it stays an ordinary one.
    found = [parameter for parameter in _parameters(function) if parameter.name not in bound]
    hints = _hints(function, found, surrounding)
    parameters: list[inspect.Parameter] = []
    context: str | None = None
    positional: list[str] = []
    for parameter in found:
        hint = hints.get(parameter.name, parameter.empty)
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else "*"
            raise ConfigurationError(
                f"the tool {name} has the parameter {stars}{parameter.name}, and a model is told each argument by name and "
                "type. Name the arguments, or take one parameter with the annotation dict[str, str] or list[str]."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        if _is_context(hint):
            if context is not None:
                raise ConfigurationError(f"the tool {name} has two parameters for the ToolContext; keep one")
            context = parameter.name
            continue
        if hint is parameter.empty:
            raise ConfigurationError(
                f"the parameter {parameter.name} of the tool {name} has no annotation, so that the model cannot be told "
                f"what to give; write {parameter.name}: str, say"
            )
        parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hint))
    return Signature(tuple(parameters), context, tuple(positional))


def context_of(function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter that gets the `ToolContext`, of a function whose other parameters do not matter."""
    found = _parameters(function)
    hints = _hints(function, found, {})
    return next((parameter for parameter in found if _is_context(hints.get(parameter.name))), None)


def surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """The local variables of the function that is just defining this one, where it is inside another."""
    code = getattr(_target(function), "__code__", None)
    frame: types.FrameType | None = sys._getframe(1)
    if code is None or "<locals>" not in getattr(_target(function), "__qualname__", ""):
        return {}
    while frame is not None:
        if any(constant is code for constant in _constants(frame.f_code)):
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}


def _constants(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of the functions that are defined in another, also inside its classes."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _constants(constant)


def _target(function: Callable[..., Any]) -> Any:
    """The function whose annotations count."""
    while isinstance(function, partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _bound(function: Callable[..., Any]) -> set[str]:
    names: set[str] = set()
    while isinstance(function, partial):
        names |= set(function.keywords)
        function = function.func
    return names


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    if sys.version_info >= (3, 14):
        import annotationlib

        # An annotation may name what is defined later.
        return [*inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF).parameters.values()]
    return [*inspect.signature(function).parameters.values()]


def _hints(
    function: Callable[..., Any], parameters: list[inspect.Parameter], surrounding: Mapping[str, Any]
) -> dict[str, Any]:
    """The evaluated annotations of the parameters alone: what is returned may be known to type checkers only."""

    def holder() -> None: ...

    holder.__annotations__ = {
        parameter.name: parameter.annotation for parameter in parameters if parameter.annotation is not parameter.empty
    }
    names = getattr(inspect.unwrap(_target(function)), "__globals__", {})
    return typing.get_type_hints(holder, names, {**names, **surrounding}, include_extras=True)


def _is_context(hint: Any) -> bool:
    return hint is ToolContext or typing.get_origin(hint) is ToolContext
