"""Whether more of a body has been read from the network than was handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["peek_of"]

# From the stream of a response to the connection, as httpx2, httpx and their cores name what is between them.
_LAYERS = ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state")


def peek_of(stream: Any) -> Callable[[], bool] | None:
    """A function that says whether the next piece of a body is there already; None if that cannot be found out.

    h11 hands out each HTTP chunk by itself, also those that have arrived together.

    Args:
        stream: The stream of a response of `httpx2` or `httpx`.
    """
    for name in _LAYERS:
        stream = getattr(stream, name, None)
    if not hasattr(stream, "trailing_data"):
        return None
    connection = stream

    def more() -> bool:
        # The line break behind a chunk is still there when the chunk has been handed out.
        return b"\n" in connection.trailing_data[0][2:]

    return more
