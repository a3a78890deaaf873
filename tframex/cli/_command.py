"""Commands that share their options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import typer

from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import Sampling
from tframex.cli._terminal import Terminal

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., None])
_SHARED: tuple[type, ...] = (EndpointOptions, Sampling, Terminal)


def command(app: typer.Typer, name: str | None = None) -> Callable[[F], F]:
    """Add a function to the commands.

    A parameter of the type `EndpointOptions`, `Sampling` or `Terminal` adds the options that are the fields of that
    class. Errors of TFrameX and Ctrl-C end the command with a message and an exit code.

    Args:
        app: The command line.
        name: The command's name; by default the function's.
    """

    def decorate(function: F) -> F:
        own: list[inspect.Parameter] = []
        shared: list[inspect.Parameter] = []
        kinds: dict[str, type] = {}
        # Not get_type_hints: where the default is None, that of Python 3.10 hides an option's name in an Optional.
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            kind = parameter.annotation
            if kind in _SHARED:
                kinds[parameter.name] = kind
                shared += _options(kind)
            else:
                own.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        def run(**given: Any) -> None:
            for name, kind in kinds.items():
                given[name] = kind(**{option.name: given.pop(option.name) for option in _options(kind)})
            terminal = next((value for value in given.values() if isinstance(value, Terminal)), None) or Terminal()
            with terminal.reporting():
                function(**given)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined] # what typer reads
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
        app.command(name)(run)
        return function

    return decorate


def _options(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=hints[option.name]
        )
        for option in fields(kind)
        if option.init
    ]
