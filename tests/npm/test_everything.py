"""The reference server of MCP, `@modelcontextprotocol/server-everything`, which `make test-npm` installs."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.conftest import Colour
from tests.unit.test_mcp import ask
from tframex.events import Event, ToolProgress
from tframex.tools import MCPTools

SERVER = Path(os.environ.get("TFRAMEX_NPM", "")) / "node_modules" / ".bin" / "mcp-server-everything"


def test_its_tools_answer(colour: Colour) -> None:
    """Texts, structured content, an image, links, progress, and arguments that do not fit its schema."""

    async def body() -> None:
        heard: list[Event] = []
        tools = colour.make(MCPTools([str(SERVER)]))
        await tools.open()
        assert (await ask(tools, "echo", message="hi")).content == "Echo: hi"
        assert (await ask(tools, "get-sum", a=2, b=3)).content == "The sum of 2 and 3 is 5."
        assert "(image/png), 4033 bytes; it is not shown" in (await ask(tools, "get-tiny-image")).content
        structured = (await ask(tools, "get-structured-content", location="New York")).content
        assert structured.count("temperature") == 1
        assert "[The resource " in (await ask(tools, "get-resource-links", count=2)).content
        long = await ask(tools, "trigger-long-running-operation", heard=heard, duration=1, steps=2)
        assert "completed" in long.content
        wrong = await ask(tools, "get-sum", a="x")
        await tools.close()
        assert len([event for event in heard if isinstance(event, ToolProgress)]) == 2
        assert "'x' is not of type 'number'; 'b' is a required property" in wrong.content

    colour.run(body)


def test_it_is_started_again_when_it_was_killed(colour: Colour) -> None:
    async def body() -> None:
        tools = colour.make(MCPTools([str(SERVER)], on_uncertain="retry"))
        await tools.open()
        (child,) = (one for one in psutil.Process().children() if "everything" in " ".join(one.cmdline()))
        child.kill()
        assert (await ask(tools, "echo", message="hi")).content == "Echo: hi"
        await tools.close()
        assert not [one for one in psutil.Process().children() if "everything" in " ".join(one.cmdline())]

    colour.run(body)


# On trio, httpx2 leaves the generators of a stream that is given up to the garbage collector, which warns.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx2:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_answers_over_http(colour: Colour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def body() -> None:
        tools = colour.make(MCPTools(f"http://127.0.0.1:{port}/mcp"))
        await tools.open()
        assert (await ask(tools, "echo", message="hi")).content == "Echo: hi"
        await tools.close()

    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen([SERVER, "streamableHttp"], env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "listening" not in process.stderr.readline():
            pass
        try:
            colour.run(body)
        finally:
            process.kill()
