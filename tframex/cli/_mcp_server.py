"""An MCP server whose tools are agents and systems."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from tframex.agents import BaseAgent
from tframex.errors import ConfigurationError, TFrameXError
from tframex.files import reported
from tframex.systems import ChainOfAgents, MapReduceSystem

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context, MCPServer

    from tframex.tasks import Progress

__all__ = ["AgentServer"]

_ASK = "Ask a model a question and get its answer."
_READ = (
    "Answer a question about a text of any length, or do something with it. The text is read part by part, so it may be "
    "far longer than a context window. Give either the text, or the path of a text file."
)


class AgentServer:
    """Serves agents and systems to other agents.

    Args:
        name: What the server is called.
        folder: The folder whose files may be read by their path; None: none.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        from mcp.server.mcpserver import MCPServer

        from tframex import __version__

        self._folder = folder
        self._server: MCPServer[Any] = MCPServer(name, version=__version__, log_level="WARNING")

    def add(self, target: object, name: str, description: str = "") -> None:
        """Add an agent, or a system that reads long texts, as a tool.

        Args:
            target: The agent or system.
            name: What the tool is called.
            description: What it does, as other agents read it.

        Raises:
            ConfigurationError: It is something else.
        """
        from mcp.server.mcpserver import Context

        tool: Callable[..., Awaitable[str]]
        if isinstance(target, (ChainOfAgents, MapReduceSystem)):
            system, description = target, description or _READ

            async def read(question: str, ctx: Context[Any, Any], text: str = "", path: str = "") -> str:
                async def report(step: Progress) -> None:
                    await ctx.report_progress(step.done, step.total, step.stage)

                with _told():
                    given = await self._text(text, path)
                    return str(await system.run(question, given, progress=report))

            tool = read
        elif isinstance(target, BaseAgent):
            agent, description = target, description or _ASK

            async def ask(prompt: str, ctx: Context[Any, Any]) -> str:
                with _told():
                    return await _answer(agent, prompt, ctx)

            tool = ask
        else:
            colour = "; take that of tframex, not of tframex.sync" if "tframex.sync" in type(target).__module__ else ""
            raise ConfigurationError(
                f"tframex mcp serves agents, ChainOfAgents and MapReduceSystem, not {type(target).__name__}{colour}"
            )
        tool.__annotations__["ctx"] = Context[Any, Any]
        self._server.add_tool(tool, name=re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64], description=description)

    async def serve(self) -> None:
        """Serve on standard input and output, until the client leaves."""
        await self._server.run_stdio_async()

    def listening(self, host: str, port: int) -> tuple[str, Callable[[], Awaitable[None]]]:
        """The URL, and what serves it, on asyncio.

        Args:
            host: The address to listen on.
            port: The port; 0: a free one.

        Raises:
            OutputError: The port is in use.
        """
        import uvicorn

        with reported(Path(f"{host}:{port}"), "listened on"):
            listener = socket.create_server((host, port))
        server = uvicorn.Server(uvicorn.Config(self._server.streamable_http_app(host=host), log_level="warning"))

        async def serve() -> None:
            await server.serve(sockets=[listener])

        return f"http://{host}:{listener.getsockname()[1]}/mcp", serve

    async def _text(self, text: str, path: str) -> str:
        if bool(text.strip()) is bool(path):
            raise ConfigurationError("give either text or path")
        if text:
            return text
        if self._folder is None:
            raise ConfigurationError("this server reads no files; give the text itself")
        file = await anyio.Path(self._folder / path).resolve()
        if not file.is_relative_to(self._folder.resolve()):
            raise ConfigurationError(f"{path} is not in the folder {self._folder} that this server may read")
        with reported(Path(file), "read"):
            data = await file.read_bytes()
        return data.decode("utf-8-sig", "replace")


@contextmanager
def _told() -> Iterator[None]:
    """Tell the client what is wrong: of other exceptions the official package says nothing."""
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        yield
    except TFrameXError as error:
        raise ToolError(str(error)) from error


async def _answer(agent: BaseAgent, prompt: str, ctx: Context[Any, Any]) -> str:
    """The answer of an agent; what it does on the way is progress."""
    from tframex.events import RunFinished, StepFinished, ToolStarted
    from tframex.model import Output
    from tframex.tasks import Closing

    steps, result = 0, None
    async with Closing(agent.events(prompt)) as events:
        async for event in events:
            if isinstance(event, (StepFinished, ToolStarted)):
                steps += 1
                await ctx.report_progress(
                    steps, None, event.call.name if isinstance(event, ToolStarted) else event.kind
                )
            elif isinstance(event, RunFinished):
                result = event.result
    if result is None:
        raise TypeError(f"the events of {type(agent).__name__} must end with RunFinished")
    kind = getattr(agent, "output_type", None)
    return result.text if kind in (None, str) else Output.of(kind).write(result.output)
