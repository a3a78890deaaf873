"""Sending a request through the official client's aiohttp adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import httpx2

__all__ = ["send"]

_CHUNK = 16 * 1024


async def send(transport: Any, request: httpx2.Request) -> httpx2.Response:
    """Send a request; what goes wrong is raised as the adapter, or aiohttp, raises it.

    The adapter gives aiohttp the headers of httpx2, which are searched for each name: as long as aiohttp takes to make the
    request. Here they are given as a dictionary. What needs more of the adapter (a proxy, a body that is not in memory)
    goes through it.

    Args:
        transport: The adapter.
        request: What to send.
    """
    import aiohttp

    if not isinstance(transport.client, aiohttp.ClientSession):
        transport.client = transport.get_client()
        _end_under_tls(transport.client.connector)
    body = request.stream
    if not isinstance(body, httpx2.ByteStream) or getattr(transport, "proxy", body) is not None:
        return _response_of(await transport.handle_async_request(request))
    timeout = request.extensions.get("timeout", {})
    response = await transport.client.request(
        request.method,
        str(request.url),
        headers=_dictionary(request.headers),
        # Which kind of payload it is would be searched in a list of all kinds.
        data=aiohttp.BytesPayload(request.content) if request.content else None,
        allow_redirects=False,
        auto_decompress=False,
        compress=False,
        timeout=_limits(timeout.get("connect"), timeout.get("read"), timeout.get("pool")),
        server_hostname=request.extensions.get("sni_hostname"),
    )
    extensions = {"http_version": b"HTTP/1.1"}
    if response.reason:
        extensions["reason_phrase"] = response.reason.encode()
    return httpx2.Response(
        response.status, headers=response.raw_headers, stream=Stream(response), request=request, extensions=extensions
    )


def _end_under_tls(connector: Any) -> None:
    """Have the connections under TLS that are over closed within 2 s, and all of them with the connector.

    TLS waits up to 30 s for the server's `close_notify`. A loop that ends before that warns on asyncio, and raises on
    uvloop. aiohttp does this itself, but only on Pythons that would leave such connections open even longer.
    """
    if getattr(connector, "_cleanup_closed_disabled", False):
        connector._cleanup_closed_disabled = False
        connector._cleanup_closed()


def _response_of(response: Any) -> httpx2.Response:
    made: httpx2.Response = response
    return made


def _dictionary(headers: httpx2.Headers) -> dict[str, str]:
    raw = headers.raw
    try:
        found = {name.decode("ascii").lower(): value.decode("ascii") for name, value in raw}
    except UnicodeDecodeError:
        found = {}
    return found if len(found) == len(raw) else dict(headers.items())


@lru_cache(64)
def _limits(connect: float | None, read: float | None, pool: float | None) -> Any:
    import aiohttp

    return aiohttp.ClientTimeout(sock_connect=connect, sock_read=read, connect=pool)


class Stream(httpx2.AsyncByteStream):
    """The body of a response of aiohttp."""

    def __init__(self, response: Any) -> None:
        self._aiohttp_response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._aiohttp_response.content.iter_chunked(_CHUNK):
            yield data

    async def aclose(self) -> None:
        """Release the connection, or close it if the body is unfinished."""
        await self._aiohttp_response.__aexit__(None, None, None)
