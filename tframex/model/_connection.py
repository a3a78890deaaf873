"""What a model holds on one event loop: the official client."""

from __future__ import annotations

from tframex.exchange import Endpoint

__all__ = ["Connection"]


class Connection:
    """A client on one event loop.

    Args:
        endpoint: The client and its names.
        owned: Whether closing the connection closes the client.
    """

    def __init__(self, endpoint: Endpoint, *, owned: bool) -> None:
        self.endpoint = endpoint
        self._owned = owned

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self.endpoint.client.close()
