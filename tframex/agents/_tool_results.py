"""Results of tools that are too long for the model."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from tframex.model import BaseModel, EndpointCounter

__all__ = ["Reader", "ResultLimit", "shortened"]


@runtime_checkable
class Reader(Protocol):
    """Reads a long text with a question in mind, as `MapReduceSystem` and `ChainOfAgents` do."""

    def run(self, initial_prompt: str, long_text: str) -> Any:
        """What the text says about the question, as text; or an awaitable of it.

        Args:
            initial_prompt: The question.
            long_text: The text.
        """
        ...


class ResultLimit:
    """How long a result may be, and what is done with one that is longer.

    Args:
        model: The model that reads it.
    """

    def __init__(self, model: BaseModel) -> None:
        self._model = model

    def of(self, most: int | None, window: int | None) -> int | None:
        """The tokens that a result may have: at most half of the window; None: any number.

        Args:
            most: What the tool says, or None.
            window: The window, or None.
        """
        limits = [limit for limit in (most, window and window // 2) if limit]
        return min(limits) if limits else None

    def exceeds(self, text: str, limit: int | None) -> bool:
        """Whether a text has more tokens than that."""
        # A token has at least one byte.
        return limit is not None and len(text.encode()) > limit and self._model.counter.count(text) > limit


def shortened(text: str, limit: int, counter: EndpointCounter) -> str:
    """The beginning of a text, and a note that says so, in at most about `limit` tokens.

    Args:
        text: The text, which has more.
        limit: The tokens.
        counter: Counts them.
    """
    tokens = counter.count(text)
    note = f"\n[Cut: this is the beginning of a result of about {tokens} tokens, of which {{}} are shown.]"
    room = max(1, limit - counter.count(note))
    kept = text[: max(1, len(text) * room // tokens)]
    while (count := counter.count(kept)) > room and len(kept) > 1:
        kept = kept[: min(len(kept) - 1, len(kept) * room // count)]
    return kept + note.format(count)
