"""Continuing an answer whose beginning an earlier call or run has received."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion, Delta
from tframex.errors import StreamInterruptedError
from tframex.tasks import Closing

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["PartialAnswer", "can_continue", "stream_from"]

log = get_logger("tframex.model")


@dataclass(frozen=True)
class PartialAnswer:
    """The beginning of an answer, which an earlier call or run has received.

    Attributes:
        text: The text.
        tokens: How many tokens (events of the stream) it took.
    """

    text: str
    tokens: int


async def can_continue(model: BaseModel, options: dict[str, Any], partial: PartialAnswer) -> bool:
    """Whether the model can be asked for what follows `partial`, of an answer to a request with these options.

    Not if it begins with a thought: a server may label the continuation as reasoning or as content. Nor if the answer has a
    type: its call continues it, and starts over where it cannot.
    """
    if options.get("output_type") is not None:
        return False
    text = partial.text.strip()
    return bool(text) and not text.startswith("<think>") and await model.continues(options)


async def stream_from(
    model: BaseModel, messages: Messages, options: dict[str, Any], partial: PartialAnswer | None
) -> AsyncGenerator[Delta | Completion, None]:
    """Like `model.stream`. If the model can continue `partial`, that is the first piece; if not, the answer starts over."""
    if partial is not None and await can_continue(model, options, partial):
        log.info("continuing an earlier run's answer", model=model.model_id, tokens=partial.tokens)
        waiting: Delta | None = None
        continued = False
        try:
            async with Closing(model.stream_after(messages, partial.text, partial.tokens, **options)) as pieces:
                async for piece in pieces:
                    if waiting is None and isinstance(piece, Delta):
                        # The earlier part; it is handed on when more has arrived after it.
                        waiting = piece
                        continue
                    if waiting is not None and not continued:
                        continued = True
                        yield waiting
                    yield piece
            return
        except StreamInterruptedError as error:
            if continued:
                raise
            log.info("starting an answer over", model=model.model_id, error=str(error))
    async with Closing(model.stream(messages, **options)) as pieces:
        async for piece in pieces:
            yield piece
