"""Building a request from an earlier one.

Two requests of a client differ in their bodies, and seldom in anything else. The official client builds each from nothing:
it parses the URL five times and merges the headers of two clients, a quarter of what a short call costs. Here the client is
asked for all that goes into a request; if it is what went into an earlier one, only the body is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import openai

__all__ = ["build_request"]

_NAME = "_tframex_templates"
# Of different URLs; those of stored objects have the object's id in them.
_MOST = 8
# As the official client writes the types that JSON has; it knows two more.
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
# A client, or its class, that has one of these in its own way may build each request differently.
_OFFICIAL = {"_build_headers", "_validate_headers", "_prepare_url", "_auth_query", "default_headers"}
_HTTP = {"build_request", "_merge_url", "_merge_headers", "_merge_cookies", "_merge_queryparams"}


class Template:
    """What a request was built from, and what it was like before hooks, providers and `httpx2.Auth` could change it.

    Its body is not kept.

    Args:
        request: As the official client has built it.
        ingredients: What it was built from, without the body.
    """

    def __init__(self, request: httpx2.Request, ingredients: list[Any]) -> None:
        self.ingredients = ingredients
        self._method, self._url = request.method, request.url
        self._headers = request.headers.copy()
        self._extensions = _copied(request.extensions)

    def with_body(self, body: bytes) -> httpx2.Request:
        """The request with another body."""
        headers = self._headers.copy()
        headers["Content-Length"] = str(len(body))
        stream, extensions = httpx2.ByteStream(body), _copied(self._extensions)
        request = httpx2.Request(self._method, self._url, headers=headers, stream=stream, extensions=extensions)
        request.read()
        return request


def _copied(extensions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in extensions.items()}


def build_request(client: Any, official: Callable[..., Any], options: Any, retries_taken: int) -> Any:
    """The request that the official code would build.

    Whatever is special is left to that: query parameters, cookies, files, classes that build requests in their own way,
    bodies with other types than those of JSON.

    Args:
        client: An official client, synchronous or not.
        official: Its own `_build_request`.
        options: What to send.
        retries_taken: How often it was sent before.
    """
    if not _is_simple(client, options):
        return official(options, retries_taken=retries_taken)
    ingredients = _ingredients(client, options, retries_taken)
    templates: dict[str, Template] = vars(client).setdefault(_NAME, {})
    template = templates.get(options.url)
    if template is not None and template.ingredients == ingredients:
        try:
            return template.with_body(_ENCODE(options.json_data).encode())
        except Exception:
            # The official client knows how to write it, or says what is wrong with it.
            return official(options, retries_taken=retries_taken)
    request = official(options, retries_taken=retries_taken)
    if template is not None or len(templates) < _MOST:
        templates[options.url] = Template(request, ingredients)
    return request


def _ingredients(client: Any, options: Any, retries_taken: int) -> list[Any]:
    http = client._client
    return [
        client.base_url,
        client._auth_headers(options.security),
        _comparable(client.default_headers),
        _comparable(options.headers or {}),
        # A `Timeout` that is changed later would be equal to itself.
        repr(client.timeout if isinstance(options.timeout, openai.NotGiven) else options.timeout),
        retries_taken,
        http.headers.raw,
    ]


def _comparable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers by name; None for one that is to be left out, whose mark is made for each request."""
    return {name: None if isinstance(value, openai.Omit) else value for name, value in headers.items()}


def _is_simple(client: Any, options: Any) -> bool:
    http = client._client
    return (
        isinstance(options.json_data, dict)
        and options.method == "post"
        and not (options.params or options.extra_json or options.files or options.content)
        and not (client.default_query or http.params or http.cookies)
        and getattr(client, "_idempotency_header", "") is None
        and getattr(client, "_provider_runtime", None) is None
        and not vars(client).keys() & _OFFICIAL
        and not vars(http).keys() & _HTTP
        and _has_official_ways(type(client), type(http))
    )


_known: dict[tuple[type, type], bool] = {}


def _has_official_ways(kind: type, http: type) -> bool:
    if (kind, http) not in _known:
        official = openai.AsyncOpenAI if issubclass(kind, openai.AsyncOpenAI) else openai.OpenAI
        _known[kind, http] = (
            issubclass(http, (httpx2.AsyncClient, httpx2.Client))
            and all(getattr(kind, name, None) is getattr(official, name, None) for name in _OFFICIAL)
            and all(getattr(http, name, None) is getattr(httpx2.AsyncClient, name, None) for name in _HTTP)
        )
    return _known[kind, http]
