"""The official client over the transport that fits the running event loop."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
import openai
from anyio.lowlevel import current_token

__all__ = ["KEEPALIVE_EXPIRY", "make_async_client", "make_http_client"]

# vLLM (uvicorn) closes idle connections after 5 s. A client that keeps them as long as that sometimes writes a request
# into a connection that is just being closed.
KEEPALIVE_EXPIRY = 4.0


def make_http_client(max_connections: int | None, *, trust_env: bool = True) -> httpx2.AsyncClient:
    """A transport: aiohttp on asyncio, where it costs a quarter of httpx2 for each network read; httpx2 on trio."""
    try:
        on_asyncio = "asyncio" in current_token().backend_class.__module__
    except RuntimeError:
        # No loop runs yet: a client of a module, made before `asyncio.run`.
        on_asyncio = True
    limits = httpx2.Limits(
        # aiohttp reads None as its own default of 100, and 0 as no limit.
        max_connections=max_connections or (0 if on_asyncio else None),
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_EXPIRY,
    )
    make = openai.DefaultAioHttpClient if on_asyncio else openai.DefaultAsyncHttpxClient
    return make(limits=limits, trust_env=trust_env)


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
    """An official client without retries of its own."""
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        timeout=timeout,
        default_headers=default_headers,
        http_client=http_client or make_http_client(max_connections, trust_env=trust_env),
    )
