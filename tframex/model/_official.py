"""Accepting an official client, async or sync."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
import openai

from tframex.client import OpenAI, has_default_transport
from tframex.errors import ConfigurationError
from tframex.exchange.transport import make_http_client

__all__ = ["asynchronous"]


def asynchronous(client: object, max_connections: int | None) -> tuple[Callable[[], openai.AsyncOpenAI], bool]:
    """A function that returns an asynchronous client which sends what this one would, and whether it is ours to close.

    Raises:
        ConfigurationError: It is not an official client, or a synchronous one that cannot be translated.
    """
    if isinstance(client, openai.AsyncOpenAI):
        return lambda: client.with_options(max_retries=0), False
    if not isinstance(client, openai.OpenAI):
        raise ConfigurationError(
            f"from_client takes an openai.AsyncOpenAI or openai.OpenAI object, not {type(client).__name__}"
        )
    # A subclass (such as Azure's) or the user's own HTTP client has behaviour that settings do not carry over.
    if isinstance(client, OpenAI):
        plain = has_default_transport(client)
    else:
        plain = type(client) is openai.OpenAI and type(client._client).__module__ == "openai._base_client"
    if not plain:
        raise ConfigurationError(
            f"this {type(client).__name__} has its own transport, which only works synchronously; give from_client "
            "the asynchronous client of the same kind (Async...) instead"
        )

    def make() -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            **_authentication(client),
            organization=client.organization,
            project=client.project,
            timeout=client.timeout,
            max_retries=0,
            default_headers=client._custom_headers,
            default_query=client._custom_query,
            http_client=make_http_client(max_connections),
        )

    return make, True


def _authentication(client: openai.OpenAI) -> dict[str, Any]:
    """The keywords for where requests go and who sends them."""
    if (provider := getattr(client, "_provider", None)) is not None:
        return {"provider": provider}
    if (identity := getattr(client, "workload_identity", None)) is not None:
        return {"workload_identity": identity, "base_url": client.base_url}
    provide = client._api_key_provider
    # In a worker thread, since it may ask a server for the key.
    key = client.api_key if provide is None else partial(anyio.to_thread.run_sync, provide)
    return {"api_key": key, "base_url": client.base_url}
