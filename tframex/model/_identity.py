"""What makes one call another: what shapes its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["shaping"]

# How long is waited, how often is tried, who may know: none of it changes what a model says.
_NOT_SHAPING = frozenset(
    {
        "connect_timeout",
        "extra_headers",
        "first_token_timeout",
        "idle_timeout",
        "max_concurrency",
        "max_retries",
        "metadata",
        "progress",
        "resume",
        "store",
        "stream",
        "stream_options",
        "timeout",
        "total_timeout",
        "user",
    }
)


def shaping(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that shape an answer. Of the two names of its length, the one that counts is kept."""
    found = {name: value for name, value in options.items() if name not in _NOT_SHAPING}
    if found.get("max_completion_tokens") is not None:
        found.pop("max_tokens", None)
    return found
