"""The HTTP client of a synchronous drop-in client that was given none."""

from __future__ import annotations

from contextlib import suppress

import httpx2
import openai

from tframex.exchange.transport import KEEPALIVE_EXPIRY

__all__ = ["HTTPClient"]


class HTTPClient(openai.DefaultHttpxClient):
    """Closes its connections when it is forgotten with its last user, as the official client's own does."""

    def __init__(self) -> None:
        super().__init__(
            limits=httpx2.Limits(
                max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_EXPIRY
            ),
        )

    def __del__(self) -> None:
        # One that could not be made has nothing to close, and at exit httpx2 may be half gone.
        with suppress(Exception):
            self.close()
