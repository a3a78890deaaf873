"""A small MCP server: `python examples/mcp_server.py` speaks over standard input and output (needs `tframex[mcp]`)."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("library", instructions="Knows where books are.", log_level="WARNING")
SHELVES = {"Moby Dick": "A3", "Walden": "B1"}


@server.tool()
def find(title: str) -> str:
    """The shelf of a book.

    Args:
        title: Its title.
    """
    return SHELVES.get(title, "not here")


@server.tool()
def titles() -> list[str]:
    """All books."""
    return list(SHELVES)


if __name__ == "__main__":
    server.run("stdio")
