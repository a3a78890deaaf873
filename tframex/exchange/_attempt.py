"""One request among those an answer takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tframex.exchange._request import ChatRequest

__all__ = ["Attempt"]


@dataclass(frozen=True)
class Attempt:
    """What to do next: wait, then send a request, or first ask the endpoint what it is.

    Attributes:
        kind: How the request relates to the answer.
        request: What to send.
        delay: Seconds to wait before.
    """

    kind: Literal["fresh", "tokens", "continue", "probe"]
    request: ChatRequest
    delay: float = 0.0
