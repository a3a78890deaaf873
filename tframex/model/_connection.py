"""What a model holds on one event loop: the official client, and the places for calls in flight."""

from __future__ import annotations

import anyio

from tframex.exchange import Endpoint

__all__ = ["Connection"]


class Connection:
    """A client on one event loop.

    Args:
        endpoint: The client and its names.
        max_concurrency: How many calls may be in flight at once; None is no limit.
        owned: Whether closing the connection closes the client.
    """

    def __init__(self, endpoint: Endpoint, max_concurrency: int | None, *, owned: bool) -> None:
        self.endpoint = endpoint
        self._places = None if max_concurrency is None else anyio.Semaphore(max_concurrency)
        self._owned = owned

    async def enter(self) -> None:
        """Take a place among the calls in flight, waiting for one if there are too many."""
        if self._places is not None:
            await self._places.acquire()

    def leave(self) -> None:
        """Give the place back."""
        if self._places is not None:
            self._places.release()

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self.endpoint.client.close()
