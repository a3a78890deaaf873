"""The official `openai` clients, made fast and dependable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tframex.client._clients import AsyncOpenAI, OpenAI, has_default_transport
    from tframex.client._streams import (
        APIStreamInterruptedError,
        APIStreamTimeoutError,
        AsyncChatStream,
        ChatStream,
    )

__all__ = [
    "APIStreamInterruptedError",
    "APIStreamTimeoutError",
    "AsyncChatStream",
    "AsyncOpenAI",
    "ChatStream",
    "OpenAI",
    "has_default_transport",
]


def __getattr__(name: str) -> Any:
    # The official client takes over a second to import; models that are only configured do without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "_clients" if name.endswith("OpenAI") or name == "has_default_transport" else "_streams"
    return getattr(import_module(f"tframex.client.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
