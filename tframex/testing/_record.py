"""What a fake server records of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Record"]


@dataclass
class Record:
    """A request that reached the server.

    Attributes:
        path: Where it went.
        headers: Its headers, names in lower case.
        body: Its JSON.
        connection: The number of the connection it came on.
        tokens: How many tokens were generated for it.
        hung_up: When the client closed the connection before the end (`time.monotonic()`), or None.
        method: Its method.
        query: The parameters of its URL.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    tokens: int = 0
    hung_up: float | None = None
    method: str = "POST"
    query: dict[str, str] = field(default_factory=dict)
