"""Accepting an official client of either colour."""

from __future__ import annotations

import openai

from tframex.errors import ConfigurationError

__all__ = ["as_async"]


def as_async(client: object) -> openai.AsyncOpenAI:
    """The client itself, or an asynchronous one with the settings of a synchronous one."""
    if isinstance(client, openai.AsyncOpenAI):
        return client
    if not isinstance(client, openai.OpenAI):
        raise ConfigurationError(
            f"from_client takes an openai.AsyncOpenAI or openai.OpenAI object, not {type(client).__name__}"
        )
    # A subclass (Azure's, say) or an HTTP client of the user's own has behaviour that settings do not carry over.
    plain = type(client) is openai.OpenAI or type(client).__module__.startswith("tframex.")
    if not plain or type(client._client).__module__ != "openai._base_client":
        raise ConfigurationError(
            f"this {type(client).__name__} has a transport of its own that only works synchronously; give from_client "
            "the asynchronous client of the same kind (Async...) instead"
        )
    return openai.AsyncOpenAI(
        api_key=client.api_key,
        base_url=client.base_url,
        organization=client.organization,
        project=client.project,
        timeout=client.timeout,
        default_headers=client._custom_headers,
        default_query=client._custom_query,
    )
