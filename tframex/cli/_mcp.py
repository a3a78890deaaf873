"""`tframex mcp`: agents and systems as tools of other agents."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._terminal import Terminal
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex.cli._mcp_server import AgentServer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def mcp(
        endpoint: EndpointOptions,
        terminal: Terminal,
        target: Annotated[
            str | None,
            typer.Argument(metavar="[MODULE:NAME]", help="An agent or system, or a function that makes one."),
        ] = None,
        description: Annotated[
            str, typer.Option(metavar="TEXT", help="What it does, as other agents read it; with MODULE:NAME.")
        ] = "",
        port: Annotated[int | None, typer.Option(min=0, help="Serve HTTP on this port instead; 0: a free one.")] = None,
        host: Annotated[str, typer.Option(help="With --port: the address to listen on.")] = "127.0.0.1",
        folder: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Files of this folder may be read. [default: this one; with --port none]"),
        ] = None,
        map_reduce: Annotated[
            bool, typer.Option("--map-reduce", help="Read the parts of a text at the same time, each for itself.")
        ] = False,
    ) -> None:
        """Serve an agent or system to other agents, over MCP.

        On standard input and output, as a client starts it. Without MODULE:NAME, the tools are `read`, which reads a text
        of any length, and `ask`, with the model of the endpoint.
        """
        try:
            from tframex.cli._mcp_server import AgentServer

            made = AgentServer("tframex", folder or (Path.cwd() if port is None else None))
        except ModuleNotFoundError as exc:
            if exc.name not in ("mcp", "uvicorn"):
                raise
            raise ConfigurationError(f'tframex mcp needs the package {exc.name}: pip install "tframex[mcp]"') from exc
        if target is not None:
            found, name = _found(target)
            made.add(found, str(getattr(found, "agent_id", "") or getattr(found, "system_id", name)), description)
        else:
            _add_own(made, endpoint, map_reduce=map_reduce)
        if port is None:
            anyio.run(made.serve)
            return
        url, serve = made.listening(host, port)
        terminal.remark(f"Serving {url}")
        anyio.run(serve)


def _add_own(server: AgentServer, endpoint: EndpointOptions, *, map_reduce: bool) -> None:
    from tframex.agents import BasicAgent
    from tframex.model import VLLMModel
    from tframex.systems import ChainOfAgents, MapReduceSystem

    model = endpoint.make(VLLMModel)
    server.add((MapReduceSystem if map_reduce else ChainOfAgents)("read", model), "read")
    server.add(BasicAgent("ask", model), "ask")


def _found(target: str) -> tuple[Any, str]:
    """What MODULE:NAME names, and NAME."""
    module, sign, name = target.partition(":")
    if not sign or not module or not name:
        raise ConfigurationError(f"name an agent or system as MODULE:NAME, such as my_agents:clerk, not {target!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
            raise
        raise ConfigurationError(f"there is no module {module!r} here or among the installed packages") from exc
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{module} has no {name}")
        found = getattr(found, part)
    return (found() if callable(found) and not hasattr(found, "events") else found), name.rpartition(".")[2]
