"""The exceptions of httpx2, in place of those of aiohttp and of the official adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

__all__ = ["cause", "translated"]


def cause(exc: Exception) -> BaseException | None:
    """The exception of aiohttp: the one that the adapter raises from it does not tell failures apart."""
    return exc.__cause__ if isinstance(exc, httpx2.TransportError) else exc


def translated(exc: Exception) -> Exception:
    """The exception that httpx2 would have raised."""
    import aiohttp

    real = cause(exc)
    if isinstance(real, aiohttp.ClientResponseError):
        # Its repr shows the headers of the request, and so the key.
        nothing: Any = ()
        real.request_info = real.request_info._replace(headers=nothing)
        real.args = (real.request_info, ())
    kinds: tuple[tuple[Any, type[httpx2.TransportError]], ...] = (
        (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout),
        ((asyncio.TimeoutError, TimeoutError), httpx2.ReadTimeout),  # two classes on Python 3.10
        ((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), httpx2.ProxyError),
        (aiohttp.ClientConnectorError, httpx2.ConnectError),
        ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx2.UnsupportedProtocol),
        ((aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError), httpx2.RemoteProtocolError),
        ((aiohttp.ClientError, OSError), httpx2.ReadError),
    )
    for kind, ours in kinds:
        if isinstance(real, kind):
            return ours(str(real) or type(real).__name__)
    return exc
