"""Whether a request that failed is followed by another, and after how long a wait."""

from __future__ import annotations

import tenacity

from tframex.errors import ModelError, ModelTimeoutError, ResponseFormatError
from tframex.exchange._ladder import patience
from tframex.exchange._retry import RetryBudget, is_transient, seconds_to_wait

__all__ = ["Patience"]

# A request that returns fewer tokens than this counts as one that returned nothing: a server that fails after every few
# tokens is not asked without end.
_PROGRESS = 8


class Patience:
    """Counts the requests of one answer that returned too little.

    Args:
        budget: The retries that the model has left.
        max_retries: How many requests in a row may fail after returning too little.
        wait: How long to wait between requests.
    """

    def __init__(self, budget: RetryBudget, max_retries: int, wait: tenacity.wait.wait_base) -> None:
        self.max_retries = max_retries
        self._budget = budget
        self._wait = wait
        self._fruitless = 0

    def success(self) -> None:
        """Note a complete answer."""
        self._budget.success()

    def allows(self, error: ModelError, grown: int, *, joinable: bool, harmless: bool = False) -> bool:
        """Note that a request has failed, and return whether another may follow.

        Args:
            error: How it failed.
            grown: How many tokens it has added to the answer.
            joinable: The answer can be continued.
            harmless: The request made the server generate nothing, so that a second one costs nothing.
        """
        if isinstance(error, ModelTimeoutError) and error.phase == "total":
            return False
        repeatable = harmless and isinstance(error, ModelTimeoutError)
        grew = grown and isinstance(error, (ModelTimeoutError, ResponseFormatError))
        if not (is_transient(error) or repeatable or grew):
            return False
        # An answer that grows with every request may take as many as it needs: a proxy that cuts each connection after
        # 100 s does not make a long answer impossible.
        if grown >= _PROGRESS:
            self._fruitless = 0
            return True
        self._fruitless += 1
        allowed = patience(self.max_retries, grew=grown > 0, joinable=joinable)
        return self._budget.allows(error) and self._fruitless <= allowed

    def delay(self, error: ModelError) -> float:
        """Seconds to wait before the next request."""
        return seconds_to_wait(self._wait, max(1, self._fruitless), error)
