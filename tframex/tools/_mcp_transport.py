"""How an MCP server is reached, by the official package: a child process, or HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tframex.errors import ConfigurationError
from tframex.tools._mcp_address import Address
from tframex.tools._mcp_output import ServerOutput

if TYPE_CHECKING:
    import httpx2

__all__ = ["check_installed", "transport"]

# Seconds to connect and to send.
_CONNECT = 30.0


def check_installed() -> None:
    """Refuse to begin without the official package.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import mcp  # noqa: F401 - is it installed?
    except ImportError as exc:
        raise ConfigurationError(
            f'MCP needs the official package, which cannot be imported ({exc}): pip install "tframex[mcp]"'
        ) from exc


@asynccontextmanager
async def transport(
    address: Address, output: ServerOutput | None, ended: Callable[[], None], status: Callable[[int], None]
) -> AsyncGenerator[tuple[Any, Any], None]:
    """The two streams of messages.

    Args:
        address: Where the server is.
        output: Where a child process writes its standard error.
        ended: Called when no more messages can come.
        status: Called with the HTTP status of each response.
    """
    async with _child(address, output) if output is not None else _http(address, status) as (receiving, sending):
        yield _Watched(receiving, ended), sending


@asynccontextmanager
async def _child(address: Address, output: ServerOutput) -> AsyncGenerator[tuple[Any, Any], None]:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program, *arguments = address.command
    parameters = StdioServerParameters(command=program, args=arguments, env=address.env or None, cwd=address.cwd)
    async with stdio_client(parameters, output.file) as streams:
        yield streams


@asynccontextmanager
async def _http(address: Address, status: Callable[[int], None]) -> AsyncGenerator[tuple[Any, Any], None]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    async def note(response: httpx2.Response) -> None:
        status(response.status_code)

    # A silent call is bounded by its own timeout, which progress extends.
    timeout = httpx2.Timeout(_CONNECT, read=None)
    settings: dict[str, Any] = {"headers": address.headers, "timeout": timeout, "event_hooks": {"response": [note]}}
    if address.query:
        settings["transport"] = _adding_query(address.query)
    async with (
        httpx2.AsyncClient(**settings) as client,
        streamable_http_client(address.url, http_client=client) as streams,
    ):
        yield streams


def _adding_query(query: str) -> httpx2.AsyncBaseTransport:
    """A transport that adds a query below the client, which logs the URL of every request."""
    import httpx2

    class Adding(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            url = request.url.copy_with(query=query.encode())
            sent = httpx2.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
            )
            return await super().handle_async_request(sent)

    return Adding()


class _Watched:
    """A stream of messages that says when it has ended."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> Any:
        """What the official package reads beside a message."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        return await self.__anext__()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            # Its end, its failure, or the end of the task that reads it.
            self._ended()
            raise

    async def __aenter__(self) -> _Watched:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> Any:
        return await self._stream.__aexit__(*details)
