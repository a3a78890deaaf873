"""When a failed request is sent again, and after how long.

The waiting times are tenacity's strategies, so they compose: `wait_retry_after() + tenacity.wait_random(0, 1)`.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping

import tenacity

from tframex.errors import ModelConnectionError, ModelStatusError, ModelTimeoutError

__all__ = [
    "DEFAULT_WAIT",
    "RetryBudget",
    "is_overload",
    "is_transient",
    "retry_after_seconds",
    "seconds_to_wait",
    "wait_retry_after",
]

_TRANSIENT_STATUS = frozenset({408, 409, 429})
_OVERLOAD = frozenset({429, 503})


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
    """Whether the server refused a request because it has too many: 429, 503, or no connection at all."""
    if isinstance(error, ModelStatusError):
        return error.status_code in _OVERLOAD
    if isinstance(error, ModelTimeoutError):
        return error.phase == "connect"
    return isinstance(error, ModelConnectionError)


def retry_after_seconds(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """The wait a server asks for, in seconds, or None.

    Reads `retry-after-ms` and `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3).
    """
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - now())


class wait_retry_after(tenacity.wait.wait_base):  # noqa: N801 - tenacity names its strategies like functions
    """Wait as long as the server asked for, at most `maximum` seconds; otherwise as `fallback` says."""

    def __init__(self, fallback: tenacity.wait.wait_base, maximum: float = 60.0) -> None:
        self.fallback = fallback
        self.maximum = maximum

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = getattr(error, "retry_after", None)
        return self.fallback(retry_state) if asked is None else min(asked, self.maximum)


DEFAULT_WAIT = wait_retry_after(tenacity.wait_random_exponential(multiplier=0.5, max=8))
"""What the server asks for, up to 60 s; else exponential backoff with full jitter, from 0.5 s up to 8 s."""


def seconds_to_wait(wait: tenacity.wait.wait_base, attempt: int, error: Exception) -> float:
    """Ask a tenacity strategy how long to wait after failure number `attempt` (from 1)."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, error.__traceback__))
    return float(wait(state))


class RetryBudget:
    """Keeps a dying server from being stormed: retries are a bounded share of what succeeds.

    Every failed request takes one token and every good one gives a part of one back; below half, nothing is retried
    (the scheme of gRPC's retry throttling, https://github.com/grpc/proposal/blob/master/A6-client-retries.md).

    Args:
        tokens: The size of the bucket. With 100, fifty failures in a row exhaust it.
        refill: What a success gives back.
    """

    def __init__(self, tokens: float = 100.0, refill: float = 1.0) -> None:
        self._full = self._tokens = tokens
        self._refill = refill

    def success(self) -> None:
        """Note a request that was answered."""
        self._tokens = min(self._full, self._tokens + self._refill)

    def failure(self) -> bool:
        """Note a request that failed, and say whether it may be sent again."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self._full / 2

    def __repr__(self) -> str:
        return f"RetryBudget({self._tokens:g} of {self._full:g})"
