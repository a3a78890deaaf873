"""What has arrived of the value of an answer that may also call tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from tframex.errors import OutputValidationError
from tframex.events import CallRetried, CallStarted, Event, OutputPiece, StepFinished, TextPiece
from tframex.model import Output, OutputGrowth
from tframex.tasks import Closing

__all__ = ["with_output_pieces"]

# How a text begins that is a value: with its JSON, a thought before it, or a fence around it. Another one is what the model
# writes before a call.
_BEGINNINGS = "{<`"


async def with_output_pieces(
    happening: AsyncGenerator[Event, None], output: Output[Any]
) -> AsyncGenerator[Event, None]:
    """The events of a run, with an `OutputPiece` whenever the value of an answer has grown.

    Args:
        happening: The events.
        output: The type of the answer.
    """
    growing = _Growing(output)
    async with Closing(happening) as events:
        async for event in events:
            yield event
            if isinstance(event, TextPiece):
                news = growing.news(event.text)
                if news is not None:
                    yield OutputPiece(news[0], event.step)
            elif isinstance(event, (CallStarted, StepFinished)) or (isinstance(event, CallRetried) and event.dropped):
                growing = _Growing(output)


class _Growing:
    """One answer while it arrives."""

    def __init__(self, output: Output[Any]) -> None:
        self._growth = OutputGrowth(output, items=True)
        self._begun = self._over = False

    def news(self, text: str) -> tuple[Any] | None:
        """Take in a piece, and return what has arrived of the value, if that is more than before."""
        if not self._begun and (said := text.lstrip()):
            self._begun, self._over = True, said[0] not in _BEGINNINGS
        if self._over:
            return None
        self._growth.feed(text)
        try:
            return self._growth.news()
        except OutputValidationError:
            # The complete answer is validated too: the model is then told what is wrong.
            self._over = True
            return None
