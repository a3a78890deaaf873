"""The endpoint that is examined, and how it is asked."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2

from tframex.servers import ServerKind, Where, server_of_owner

__all__ = ["Reply", "Target", "parsed"]

# The most bytes of a body that are read, and how many characters a key must have to be a secret.
_MOST, _SECRET = 1 << 20, 8


@dataclass(frozen=True)
class Reply:
    """An answer of the server.

    Attributes:
        status: The HTTP status.
        headers: Its headers.
        body: Its JSON, or its text if it is none.
        seconds: How long it took.
    """

    status: int
    headers: httpx2.Headers
    body: Any
    seconds: float

    @property
    def html(self) -> bool:
        """Whether it is a web page."""
        return isinstance(self.body, str) and "<html" in self.body[:2000].lower()

    @property
    def said(self) -> str:
        """Its beginning, for people."""
        body = self.body
        while isinstance(body, dict):
            body = next((body[key] for key in ("error", "message", "detail") if body.get(key)), json.dumps(body))
        return " ".join(str(body).split())[:200] or "no explanation"


@dataclass
class Target:
    """An endpoint under examination.

    Attributes:
        url: The base URL of its API.
        key: The key, or None.
        model: The model's name, or None; filled in when only one is served.
        seconds: How long to wait for each sign of life.
        concurrency: Requests to send concurrently.
        sources: Where `url`, `key` and `model` were found, such as `"API_URL in .env"`.
        owner: Who serves, as the models list says.
        served: The models of that list.
        nearest: The one of them whose name is most like that of a model that is not on it.
        messages: What the checks ask.
    """

    url: str
    key: str | None
    model: str | None
    seconds: float = 15.0
    concurrency: int = 8
    sources: dict[str, str] = field(default_factory=dict)
    owner: str = ""
    served: list[str] = field(default_factory=list)
    nearest: str = ""
    messages: list[dict[str, str]] = field(
        default_factory=lambda: [{"role": "user", "content": "Count from one to twenty in words, separated by commas."}]
    )

    @property
    def parts(self) -> SplitResult:
        """The URL in its parts."""
        return urlsplit(self.url)

    @property
    def root(self) -> str:
        """The server's root, where vLLM and llama.cpp have what is not OpenAI's."""
        return self.url.removesuffix("/v1")

    @property
    def server(self) -> ServerKind:
        """Which kind of server it is, as far as its models list says."""
        return server_of_owner(self.owner)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = self.parts
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def proxy(self) -> str | None:
        """The proxy of the environment that requests go through."""
        proxies = getproxies()
        found = proxies.get(self.parts.scheme) or proxies.get("all")
        return None if found is None or proxy_bypass(self.parts.hostname or "") else found

    async def get(self, url: str) -> Reply:
        """Ask for something.

        Raises:
            httpx2.HTTPError: There was no answer in time.
        """
        began = time.perf_counter()
        async with self._client() as client:
            with anyio.move_on_after(self.seconds):
                # One limit for the complete body: it may come byte by byte and never end.
                async with client.stream("GET", url) as response:
                    text = await self.text(response)
                    return Reply(response.status_code, response.headers, parsed(text), time.perf_counter() - began)
        raise httpx2.ReadTimeout(f"no complete answer within {self.seconds:g} s")

    async def find(self, where: Where) -> Any:
        """A value that the server has at its root, or None."""
        try:
            return where.find((await self.get(f"{self.root}{where.path}")).body)
        except httpx2.HTTPError:
            return None

    async def text(self, response: httpx2.Response) -> str:
        """The body of a response, as much of it as can be of interest, without the key: a server may echo it."""
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MOST:
                break
        return self.clean(body.decode("utf-8", "replace"))

    def clean(self, text: str) -> str:
        """A text without the key."""
        # A short one ("none", "x") is not secret, and would be found in unrelated words.
        return text.replace(self.key, "***") if self.key is not None and len(self.key) >= _SECRET else text

    @asynccontextmanager
    async def open(self, body: dict[str, Any]) -> AsyncGenerator[httpx2.Response, None]:
        """A streamed chat completion."""
        asked = {"model": self.model, "messages": self.messages, "stream": True, **body}
        async with self._client() as client, client.stream("POST", f"{self.url}/chat/completions", json=asked) as reply:
            yield reply

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        # Loading them takes longer than a request.
        return ssl.create_default_context()

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers={"authorization": f"Bearer {self.key or 'none'}"}, timeout=self.seconds, verify=self._certificates
        )


def parsed(text: str) -> Any:
    """The JSON of a body, or its text if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text
