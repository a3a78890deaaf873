"""What tells one call from another: the options that shape its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tframex.model.output import Output

__all__ = ["shaping"]

# Time limits, retries, who is informed: none of it changes the answer of a model.
_NOT_SHAPING = frozenset(
    {
        "connect_timeout",
        "extra_headers",
        "first_token_timeout",
        "idle_timeout",
        "interval",
        "max_concurrency",
        "max_output_retries",
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
    """The options that shape an answer. Of the two names for its length limit, the one that takes precedence is kept."""
    found = {name: value for name, value in options.items() if name not in _NOT_SHAPING}
    output_type = found.pop("output_type", None)
    if output_type is not None:
        output: Output[Any] = Output.of(output_type)
        found["output_type"] = {"name": output.name, "schema": output.schema}
    if found.get("max_completion_tokens") is not None:
        found.pop("max_tokens", None)
    return found
