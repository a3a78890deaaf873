"""The tokens that the requests of one answer have cost."""

from __future__ import annotations

from tframex.exchange._token_trail import TokenTrail
from tframex.exchange._wire import ChunkUsage

__all__ = ["Ledger"]


class Ledger:
    """Adds up what the server reports; what it does not report is estimated.

    Attributes:
        reported: What the server has reported for the current request.
    """

    def __init__(self) -> None:
        self.reported: ChunkUsage | None = None
        self._spent: list[ChunkUsage] = []

    def report(self, usage: ChunkUsage) -> None:
        """Note what the server reports for the current request."""
        self.reported = usage

    def begin_with(self, tokens: int) -> None:
        """Note that an earlier run has spent this many tokens on the answer."""
        self._spent.append(ChunkUsage(0, tokens))

    def close(self, tokens: TokenTrail) -> None:
        """Note that the current request has ended before the answer did.

        Args:
            tokens: What has arrived; the cost is estimated from it where the server has reported none.
        """
        self._spent.append(self.reported or _estimate(tokens))
        self.reported = None

    def total(self, tokens: TokenTrail) -> tuple[ChunkUsage | None, bool]:
        """What all requests together cost, and whether a part of it may be estimated.

        Args:
            tokens: What has arrived.
        """
        last = self.reported
        if not self._spent:
            return last, False
        parts = [*self._spent, last or _estimate(tokens)]
        # A request that broke off reports nothing; its prompt was that of the first one, or longer.
        known = last.prompt_tokens - sum(part.completion_tokens for part in self._spent) if last else 0
        total = ChunkUsage(
            sum(part.prompt_tokens or max(0, known) for part in parts),
            sum(part.completion_tokens for part in parts),
        )
        if last is not None:
            total.prompt_tokens_details = last.prompt_tokens_details
            total.completion_tokens_details = last.completion_tokens_details
        return total, True


def _estimate(tokens: TokenTrail) -> ChunkUsage:
    return ChunkUsage(len(tokens.prompt or ()), max(0, tokens.grown))
