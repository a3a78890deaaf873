"""The aiohttp transport of the official client, raising the exceptions of httpx2's own transport."""

from __future__ import annotations

import asyncio
from functools import cache
from types import FunctionType
from typing import Any

import httpx2
import openai

from tframex.exchange._aiohttp_body import stream_of
from tframex.exchange._aiohttp_errors import cause, translated
from tframex.exchange._aiohttp_send import send
from tframex.exchange._ticks import Ticks

__all__ = ["AioTransport", "is_foreign"]

# Where libraries that mock httpx2 put themselves; not all of them replace a transport.
_PATCHED: tuple[tuple[Any, str], ...] = (
    (httpx2.AsyncHTTPTransport, "handle_async_request"),
    (httpx2.AsyncClient, "_transport_for_url"),
)
_PATCHED_POOLS = ("AsyncConnectionPool", "AsyncHTTPConnection", "AsyncHTTPProxy")


class AioTransport(httpx2.AsyncBaseTransport):
    """Sends through aiohttp, which costs a quarter of httpx2 for each network read, but raises httpx2's exceptions.

    The official adapter reports a refused or reset connection as a timeout, and lets other exceptions of aiohttp through.
    While a mock of httpx2 is installed, requests go through httpx2, where it can see them.

    Args:
        limits: How many connections are opened and kept.
        trust_env: Whether the environment's proxies are used.
    """

    def __init__(self, limits: httpx2.Limits, *, trust_env: bool = True) -> None:
        self._settings: dict[str, Any] = {"limits": limits, "trust_env": trust_env}
        self._client = openai.DefaultAioHttpClient(**self._settings)
        self._ticks = Ticks(asyncio.get_running_loop())
        self._mocked: httpx2.AsyncClient | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, through the environment's proxy if there is one."""
        if _is_mocked():
            self._mocked = self._mocked or openai.DefaultAsyncHttpxClient(**self._settings)
            return await self._mocked._transport_for_url(request.url).handle_async_request(request)
        try:
            # `client.send` would do redirects, cookies and authentication a second time.
            response = await send(self._client._transport_for_url(request.url), request)
        except Exception as exc:
            raise translated(exc) from cause(exc)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = stream_of(response.stream, self._ticks)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        if self._mocked is not None:
            await self._mocked.aclose()
        await self._client.aclose()


def _is_mocked() -> bool:
    return any(is_foreign(getattr(owner, name)) for owner, name in _patchable())


@cache
def _patchable() -> tuple[tuple[Any, str], ...]:
    import httpcore2  # with httpx2

    return (*_PATCHED, *((getattr(httpcore2, name), "handle_async_request") for name in _PATCHED_POOLS))


@cache
def is_foreign(function: object) -> bool:
    """Whether a function of httpx2 was replaced by another library."""
    # `functools.wraps` gives a replacement the name and module of the original, but not its globals.
    if not isinstance(function, FunctionType):
        return True
    return not str(function.__globals__.get("__name__")).startswith(("httpx2.", "httpcore2."))
