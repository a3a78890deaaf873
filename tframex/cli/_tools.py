"""Tools and agents, as a command line names them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync

__all__ = ["Tools", "agent_of"]

Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--tools", metavar="MODULE:NAME", help="A typed function the model may call, or a list of them. Repeatable."
    ),
]


def agent_of(name: str, model: sync.VLLMModel, system: str | None, tools: list[str] | None) -> Any:
    """An agent with these instructions; one that calls tools, if there are any.

    Raises:
        ConfigurationError: A tool cannot be found.
    """
    from tframex import sync

    if tools:
        return sync.ToolAgent(name, model, _load(tools), system_prompt=system)
    return sync.BasicAgent(name, model, system_prompt=system)


def _load(names: list[str]) -> list[Any]:
    """The tools of these names: functions, tools, toolsets, or lists of them."""
    found: list[Any] = []
    for given in names:
        tool = _named(given)
        found += tool if isinstance(tool, (list, tuple)) else [tool]
    return found


def _named(given: str) -> Any:
    home, colon, path = given.rpartition(":")
    if not colon or not home or not path:
        raise ConfigurationError(
            f"--tools takes MODULE:NAME, such as my_tools:weather or my_tools.py:weather, not {given!r}"
        )
    value: Any = _module(home)
    for part in path.split("."):
        if not hasattr(value, part):
            raise ConfigurationError(f"{home} has no {path}")
        value = getattr(value, part)
    return value


def _module(home: str) -> ModuleType:
    """A module by its name, looked for in this folder first, or by its file."""
    try:
        if not home.endswith(".py"):
            if os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
            return importlib.import_module(home)
        spec = importlib.util.spec_from_file_location(Path(home).stem, home)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Types of its annotations are looked up there.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except Exception as exc:
        raise ConfigurationError(f"the tools of {home} cannot be imported: {type(exc).__name__}: {exc}") from exc
    return module
