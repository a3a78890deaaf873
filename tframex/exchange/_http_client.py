"""The HTTP client of a model on asyncio."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import openai

from tframex.exchange._aiohttp import is_foreign

__all__ = ["HTTPClient"]

_log = logging.getLogger("httpx2")


class HTTPClient(openai.DefaultAsyncHttpxClient):
    """Gives a request to its transport directly where nothing is to be done on the way: a tenth of a short call.

    Its own authentication, hooks, redirects and log are left to the official code, and so are requests while a library has
    replaced `httpx2.AsyncClient.send`, as tracing does.
    """

    async def send(self, request: httpx2.Request, *, stream: bool = False, **more: Any) -> httpx2.Response:
        """Send a request, as the client of httpx2 does."""
        if not stream or more or not self._is_plain(request):
            return await super().send(request, stream=stream, **more)
        try:
            response = await self._transport_for_url(request.url).handle_async_request(request)
        except httpx2.TransportError as exc:
            exc.request = request
            raise
        response.request = request
        if "set-cookie" in response.headers:
            self.cookies.extract_cookies(response)
        if response.has_redirect_location:
            await response.aclose()
            return await super().send(request, stream=stream)
        return response

    def _is_plain(self, request: httpx2.Request) -> bool:
        return not (
            self.is_closed
            or self.auth is not None
            or request.url.userinfo
            or "timeout" not in request.extensions
            or any(self.event_hooks.values())
            or _log.isEnabledFor(logging.INFO)
            or is_foreign(httpx2.AsyncClient.send)
        )
