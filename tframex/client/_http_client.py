"""The default HTTP client of the synchronous drop-in client."""

from __future__ import annotations

from contextlib import suppress

import httpx2
import openai

from tframex.exchange.transport import KEEPALIVE_EXPIRY

__all__ = ["HTTPClient"]


class HTTPClient(openai.DefaultHttpxClient):
    """Closes its connections when it is garbage-collected, as the official client's own does."""

    def __init__(self) -> None:
        super().__init__(
            limits=httpx2.Limits(
                max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_EXPIRY
            ),
        )

    def __del__(self) -> None:
        # A client that could not be made has nothing to close, and at exit parts of httpx2 may be gone.
        with suppress(Exception):
            self.close()
