"""When a failed request is sent again, and after how long.

The waiting times are tenacity's strategies, so they compose: `wait_retry_after() + tenacity.wait_random(0, 1)`.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import timezone

import tenacity

from tframex.errors import ModelConnectionError, ModelStatusError, ModelTimeoutError

__all__ = [
    "DEFAULT_WAIT",
    "RetryBudget",
    "asks_to_wait",
    "is_overload",
    "is_transient",
    "retry_after_seconds",
    "seconds_to_wait",
    "wait_retry_after",
]

_TRANSIENT_STATUS = frozenset({408, 409, 429})
_OVERLOAD = frozenset({429, 503})
# No sign, no exponent, no "nan", no "1_000": RFC 9110 allows digits alone, and some servers send a fraction.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed if it is sent again.

    A time limit that passed after the request was sent is not transient: the server may still be working on it, and
    a second copy would make its load worse. Connecting is the exception, since nothing was sent.
    """
    if isinstance(error, ModelTimeoutError):
        return error.phase == "connect"
    if isinstance(error, ModelStatusError):
        return error.status_code in _TRANSIENT_STATUS or error.status_code >= 500
    return isinstance(error, ModelConnectionError)


def is_overload(error: Exception) -> bool:
    """Whether the server refused a request because it has too many: 429, 503, or a connection that failed."""
    if isinstance(error, ModelStatusError):
        return error.status_code in _OVERLOAD
    if isinstance(error, ModelTimeoutError):
        return error.phase == "connect"
    return isinstance(error, ModelConnectionError)


def asks_to_wait(error: Exception) -> bool:
    """Whether the server has not failed but asked to wait: a 429, or any error with a `Retry-After`."""
    return isinstance(error, ModelStatusError) and (error.status_code == 429 or error.retry_after is not None)


def retry_after_seconds(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """The wait a server asks for, in seconds, or None if it asks for none or for one that cannot be read.

    Reads `retry-after-ms` and `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3).
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now())
    except (ValueError, OverflowError, TypeError, LookupError):
        return None  # the year 99999, the 99th of a month


def _seconds(value: str) -> float | None:
    value = value.strip()
    if _SECONDS.fullmatch(value) is None:
        return None
    seconds = float(value)
    return seconds if math.isfinite(seconds) else None


class wait_retry_after(tenacity.wait.wait_base):  # noqa: N801 - tenacity names its strategies like functions
    """Wait as long as the server asked for, at most `maximum` seconds; `fallback` decides where it asked for nothing.

    Args:
        fallback: How long to wait where the server asked for nothing.
        maximum: The longest wait, in seconds, that is taken from the server.
        spread: Added to the wait that was asked for: requests that were refused together would otherwise return together.
    """

    def __init__(
        self, fallback: tenacity.wait.wait_base, maximum: float = 60.0, spread: tenacity.wait.wait_base | None = None
    ) -> None:
        self.fallback = fallback
        self.maximum = maximum
        self.spread = spread or tenacity.wait_none()

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = getattr(error, "retry_after", None)
        if asked is None or math.isnan(asked):
            return self.fallback(retry_state)
        return float(min(max(0.0, asked), self.maximum) + self.spread(retry_state))


_BACKOFF = tenacity.wait_random_exponential(multiplier=0.5, max=8)
DEFAULT_WAIT = wait_retry_after(_BACKOFF, spread=_BACKOFF)
"""Exponential backoff with full jitter, of at most 0.5 s at first and at most 8 s later, added to the wait that the server
asks for (up to 60 s)."""


def seconds_to_wait(wait: tenacity.wait.wait_base, attempt: int, error: Exception) -> float:
    """Ask a tenacity strategy how long to wait after failure number `attempt` (from 1)."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, error.__traceback__))
    return float(wait(state))


class RetryBudget:
    """Keeps retries from overloading a failing server: they are a bounded share of the requests that succeed.

    Every failed request takes one token, and every successful one returns `refill`; at half or below, nothing is retried
    (the scheme of gRPC's retry throttling, https://github.com/grpc/proposal/blob/master/A6-client-retries.md).

    Args:
        tokens: The size of the bucket. With 100, fifty failures in a row exhaust it.
        refill: How many tokens a success returns.
    """

    def __init__(self, tokens: float = 100.0, refill: float = 1.0) -> None:
        self._full = self._tokens = tokens
        self._refill = refill

    def success(self) -> None:
        """Note a request that was answered."""
        self._tokens = min(self._full, self._tokens + self._refill)

    def failure(self) -> bool:
        """Note a request that failed, and return whether it may be sent again."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self._full / 2

    def allows(self, error: Exception) -> bool:
        """Note how a request failed, and return whether it may be sent again.

        A server that asks to wait is healthy: of many calls that it takes a few at a time, none has failed.
        """
        return asks_to_wait(error) or self.failure()

    def __repr__(self) -> str:
        return f"RetryBudget({self._tokens:g} of {self._full:g})"
