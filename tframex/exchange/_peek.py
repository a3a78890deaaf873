"""Whether more of a body has been read from the network than was handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["AllThere", "peek_of", "readable_of"]

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


def readable_of(response: Any) -> Callable[[], bool] | None:
    """A function that says whether a read would find something at the operating system; None if that cannot be found out.

    Args:
        response: A response of `httpx2` or `httpx`.
    """
    network = response.extensions.get("network_stream")
    if network is None or not isinstance(network.get_extra_info("is_readable"), bool):
        return None
    ask = network.get_extra_info
    return lambda: bool(ask("is_readable"))


class AllThere:
    """The pieces of a body, those that have arrived together as one.

    Args:
        pieces: The pieces.
        peek: Says whether the next one is there already.
    """

    def __init__(self, pieces: Iterator[bytes], peek: Callable[[], bool]) -> None:
        self._pieces = pieces
        self._peek = peek
        self._failure: Exception | None = None

    def __iter__(self) -> AllThere:
        return self

    def __next__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        found = [next(self._pieces)]
        try:
            while self._peek():
                found.append(next(self._pieces))
        except Exception as exc:  # StopIteration too
            # What came before it is handed out first.
            self._failure = exc
        return b"".join(found)
