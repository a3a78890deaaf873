"""The HTTP transport that fits the running event loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import httpx2
import openai
from anyio.lowlevel import current_token

from tframex.errors import WrongLoopError
from tframex.exchange._aiohttp import AioTransport
from tframex.exchange._http_client import HTTPClient
from tframex.exchange._official import AsyncOpenAI
from tframex.exchange._request_template import build_request
from tframex.tasks import LoopBound

__all__ = [
    "KEEPALIVE_EXPIRY",
    "LoopTransport",
    "build_request",
    "make_async_client",
    "make_http_client",
    "transport_timeout",
]

# vLLM (uvicorn) closes idle connections after 5 s. A client that keeps them as long as that sometimes writes a request
# into a connection that is just being closed.
KEEPALIVE_EXPIRY = 4.0


class LoopTransport(httpx2.AsyncBaseTransport):
    """A transport that belongs to whichever event loop uses it: made at first use, closed when that loop ends.

    So a client may be made before any loop runs, used in several calls of `asyncio.run` or `trio.run` one after the other,
    and forgotten without being closed, as the official one may.

    Args:
        max_connections: How many connections may be open; None is no limit.
    """

    def __init__(self, max_connections: int | None) -> None:
        make = partial(make_http_client, max_connections)
        self._clients: LoopBound[httpx2.AsyncClient] = LoopBound(make, httpx2.AsyncClient.aclose)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request on the running loop's connections, through the environment's proxy if there is one."""
        client = await self._clients.get()
        if client is None:
            raise WrongLoopError(
                "this client is in use on another event loop that is still alive. One client belongs to one loop at a "
                "time: make one for each loop, or use tframex.OpenAI from threads."
            )
        # `client.send` would do redirects, cookies and authentication a second time.
        return await client._transport_for_url(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        await self._clients.aclose()


def make_http_client(max_connections: int | None, *, trust_env: bool = True) -> httpx2.AsyncClient:
    """A client for the running loop: aiohttp on asyncio, where a network read costs a quarter of httpx2; httpx2 on trio."""
    on_asyncio = "asyncio" in current_token().backend_class.__module__
    limits = httpx2.Limits(
        # aiohttp reads None as its own default of 100, and 0 as no limit.
        max_connections=max_connections or (0 if on_asyncio else None),
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_EXPIRY,
    )
    if on_asyncio:
        return HTTPClient(transport=AioTransport(limits, trust_env=trust_env))
    return openai.DefaultAsyncHttpxClient(limits=limits, trust_env=trust_env)


def make_async_client(
    *,
    base_url: str,
    api_key: str,
    timeout: openai.Timeout,
    max_connections: int | None = None,
    default_headers: Mapping[str, str] | None = None,
    http_client: httpx2.AsyncClient | None = None,
    trust_env: bool = True,
) -> openai.AsyncOpenAI:
    """An official client that does not retry by itself."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        timeout=timeout,
        default_headers=default_headers,
        http_client=http_client or make_http_client(max_connections, trust_env=trust_env),
    )


def transport_timeout(connect: float | None) -> openai.Timeout:
    """The limits that the transport enforces: on connecting alone. The read clock limits how long an answer may take."""
    return openai.Timeout(None, connect=connect)
