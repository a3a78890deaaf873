"""How long a call waits for a server that is overloaded or unreachable."""

from __future__ import annotations

from tframex.errors import ModelError, ModelStatusError, StreamInterruptedError
from tframex.exchange import DEFAULT_WAIT, is_overload, seconds_to_wait

__all__ = ["PATIENCE", "Patience", "cause_of"]

PATIENCE = 120.0
"""Seconds for which a call is sent again to a server that does not take it."""
_RESTARTS = 2


class Patience:
    """Decides, without waiting itself, whether and when one call is sent again. It looks at no clock: time is an argument.

    Args:
        seconds: For how long, since the server last answered. None: 120.
        restarts: How often an answer that cannot be continued may be asked for again from its start.
    """

    def __init__(self, seconds: float | None = None, restarts: int = _RESTARTS) -> None:
        self.seconds = PATIENCE if seconds is None else seconds
        self._restarts = restarts
        self._since: float | None = None
        self._failures = 0

    def heard(self) -> None:
        """Note that the server has answered something: the time begins from the next failure."""
        self._since = None

    def delay(self, error: ModelError, now: float, *, known: bool) -> float | None:
        """Seconds until the call is sent again, or None: the error is final.

        Args:
            error: What the call has failed with.
            now: The time, in seconds.
            known: Whether the server has answered any call of this run. One that has never answered may not exist, and is
                only waited for if it says itself that it is busy.
        """
        cause = cause_of(error)
        self._since = now if self._since is None else self._since
        if now - self._since > self.seconds or not isinstance(cause, ModelError) or not is_overload(cause):
            return None
        if not known and not isinstance(cause, ModelStatusError):
            return None
        self._failures += 1
        return seconds_to_wait(DEFAULT_WAIT, self._failures, error)

    def restart(self) -> bool:
        """Whether the answer may be asked for once more from its start."""
        self._restarts -= 1
        return self._restarts >= 0


def cause_of(error: ModelError) -> BaseException | None:
    """What has broken an answer off; another error is its own cause."""
    return error.__cause__ if isinstance(error, StreamInterruptedError) else error
