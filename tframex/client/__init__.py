"""The official `openai` clients, made fast and dependable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tframex.client._clients import AsyncOpenAI, OpenAI, has_default_transport
    from tframex.client._errors import APIStreamInterruptedError, APIStreamTimeoutError
    from tframex.client._streams import (
        AsyncChatStream,
        AsyncCompletionStream,
        AsyncEventStream,
        ChatStream,
        CompletionStream,
        EventStream,
    )

__all__ = [
    "APIStreamInterruptedError",
    "APIStreamTimeoutError",
    "AsyncChatStream",
    "AsyncCompletionStream",
    "AsyncEventStream",
    "AsyncOpenAI",
    "ChatStream",
    "CompletionStream",
    "EventStream",
    "OpenAI",
    "has_default_transport",
]


def __getattr__(name: str) -> Any:
    # The official client takes over a second to import; models that are only configured do without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"OpenAI": "_clients", "_transport": "_clients", "Error": "_errors"}
    module = next((where for end, where in home.items() if name.endswith(end)), "_streams")
    return getattr(import_module(f"tframex.client.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
