"""An MCP server written with the official package: over stdio, or with `http` over HTTP on a free port, which it prints."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

server = MCPServer("testing", instructions="Ask it what you like.")


class Forecast(BaseModel):
    """A forecast."""

    city: str
    degrees: int


@server.tool()
def echo(text: str, context: str = "") -> str:
    """Say it again.

    Args:
        text: What to say.
        context: A name that this program uses for something else.
    """
    return text + context


@server.tool()
def forecast(city: str) -> Forecast:
    """The forecast for a city."""
    return Forecast(city=city, degrees=12)


@server.tool()
def colours() -> list[str]:
    """Three colours."""
    return ["red", "green", "blue"]


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG....", format="png")


@server.tool()
def refuse(why: str) -> str:
    """Always fail."""
    raise ToolError(f"this does not work: {why}")


@server.tool(name="files.read.all")
def odd_name() -> str:
    """A name that the Chat Completions API does not take."""
    return "read"


@server.tool()
async def slow(steps: int, ctx: Context[Any, Any]) -> str:
    """Report progress, and then wait forever if `steps` is 0."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
    if not steps:
        await anyio.sleep_forever()
    return "done"


@server.tool()
def mixed() -> CallToolResult:
    """Everything that a result can have."""
    return CallToolResult(
        content=[
            TextContent(type="text", text="About Bern."),
            ResourceLink(
                type="resource_link", name="map", uri="file:///map.png", mime_type="image/png", description="A map"
            ),
            EmbeddedResource(
                type="resource",
                resource=TextResourceContents(uri="file:///notes.txt", mime_type="text/plain", text="rainy"),
            ),
            EmbeddedResource(type="resource", resource=BlobResourceContents(uri="file:///raw", blob="YWJj")),
        ],
        structured_content={"degrees": 12},
    )


@server.tool()
def broken(text: str) -> str:
    """Its schema is changed below into one that is none."""
    return text


@server.tool()
def whoami() -> int:
    """The process."""
    return os.getpid()


@server.tool()
def environment(name: str) -> str:
    """A variable of the environment."""
    print(f"{name} is {os.environ.get(name)}", file=sys.stderr)
    return os.environ.get(name, "not set")


@server.tool()
def key(ctx: Context[Any, Any]) -> str:
    """The idempotency key of the call."""
    return str((ctx.request_context.meta or {}).get("tframex/idempotency-key"))


@server.tool()
def die(counted: str) -> str:
    """End the process in the middle of the call, unless it has been called twice before."""
    path = Path(counted)
    before = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (before + 1))
    if before < int(os.environ.get("DEATHS", "1")):
        print("what a pity", file=sys.stderr, flush=True)
        os._exit(7)
    return f"call {before + 1}"


@server.tool()
async def grow(ctx: Context[Any, Any]) -> str:
    """Have one tool more."""

    def late() -> str:
        """A tool that was added later."""
        return "late"

    server.add_tool(late)
    # The clients of both protocols hear of it.
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


# The package makes correct schemas only, and takes a wrong one nowhere.
wrong = server._tool_manager.get_tool("broken")
assert wrong is not None
wrong.parameters = {"type": "object", "properties": {"text": {"type": "words"}}}


def serve_http() -> None:
    """Serve on a free port. With TOKEN in the environment, requests without it are refused."""
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    app: Any = server.streamable_http_app()
    token = os.environ.get("TOKEN")

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and token:
            given = dict(scope["headers"]).get(b"authorization", b""), scope["query_string"]
            if f"Bearer {token}".encode() not in given and f"key={token}".encode() not in given:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(guarded, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        serve_http()
    else:
        server.run("stdio")
