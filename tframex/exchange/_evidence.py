"""Whether what has arrived is a complete answer."""

from __future__ import annotations

from tframex.errors import ModelError
from tframex.exchange._collector import Collector
from tframex.exchange._failures import stream_cut, unreadable
from tframex.exchange._ledger import Ledger
from tframex.exchange._reader import ResponseReader
from tframex.exchange._served_model import ServedModel

__all__ = ["Evidence"]

# How many tokens may be missing (or 5 %, if that is more) where everything else shows that the answer is complete: special
# ones, for which some servers send no event.
_SPECIAL = 4


class Evidence:
    """Judges one response.

    Args:
        reader: The reader of the response.
        collector: The answers so far.
        ledger: The usage that the server reports.
        served: What is known of the endpoint.
        choices: How many answers were asked for.
    """

    def __init__(
        self, reader: ResponseReader, collector: Collector, ledger: Ledger, served: ServedModel, choices: int
    ) -> None:
        self._reader = reader
        self._collector = collector
        self._served = served
        self._choices = choices
        usage, tokens = ledger.reported, collector.tokens
        self._counted = usage.completion_tokens if usage is not None else 0
        comparable = usage is not None and reader.splice is None and choices == 1 and tokens.exact
        # One more may be the token that ends the message.
        self._missing = max(0, self._counted - len(tokens.ids) - 1) if comparable else 0
        self._usage = usage is not None and not self._missing

    @property
    def ended(self) -> bool:
        """Whether the server has said that the answer is over."""
        reader, collector = self._reader, self._collector
        if reader.complete:
            return True
        if not reader.done or not reader.events:
            return False
        if collector.begun and collector.finished == collector.begun:
            return True  # A server that ignores `n`.
        # vLLM and llama.cpp always send a finish reason; some others do not.
        return not collector.finished and not self._served.server.says_why

    @property
    def lossy(self) -> bool:
        """Whether more tokens that the server counts have not arrived than special ones can explain."""
        allowed = max(_SPECIAL, self._counted // 20) if self._reader.done else 0
        return self._missing > allowed

    def names(self) -> tuple[str, ...]:
        """What shows the answer to be complete."""
        found = {
            "finish_reason": self._collector.finished > 0,
            "usage": self._usage,
            "[DONE]": self._reader.done,
        }
        return tuple(name for name, there in found.items() if there)

    def lack(self, model_id: str) -> ModelError:
        """The error for a response that ended without a failure but is not complete."""
        reader = self._reader
        if not reader.start.is_stream or not (reader.events or reader.start.may_be_events()):
            return unreadable(reader.start.head, model_id=model_id, what=reader.what)
        if self.lossy:
            arrived = len(self._collector.tokens.ids)
            return stream_cut(model_id=model_id, why=f"the server counts {self._counted} tokens, {arrived} arrived")
        return stream_cut(model_id=model_id)
