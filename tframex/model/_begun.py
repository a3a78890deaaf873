"""Going on with an answer that an earlier run has begun."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion, Delta
from tframex.errors import StreamInterruptedError
from tframex.model.base import BaseModel
from tframex.tasks import Closing

__all__ = ["Begun", "going_on"]

log = get_logger("tframex.model")


@dataclass(frozen=True)
class Begun:
    """What an earlier run has brought of an answer.

    Attributes:
        text: The text.
        tokens: How many events have brought it.
    """

    text: str
    tokens: int


async def can_go_on(model: BaseModel, options: dict[str, Any], begun: Begun) -> bool:
    """Whether the model can be asked to go on after what was begun."""
    return bool(begun.text.strip()) and "<think>" not in begun.text and await model._continues(options)


async def going_on(
    model: BaseModel, messages: Messages, options: dict[str, Any], begun: Begun | None
) -> AsyncGenerator[Delta | Completion, None]:
    """As `model.stream`; where the model can go on after what was begun, that comes first, as one piece."""
    if begun is not None and await can_go_on(model, options, begun):
        log.info("continuing an earlier run's answer", model=model.model_id, tokens=begun.tokens)
        waiting: Delta | None = None
        went_on = False
        try:
            async with Closing(model._stream_after(messages, begun.text, begun.tokens, **options)) as events:
                async for event in events:
                    if waiting is None and isinstance(event, Delta):
                        # The earlier part; it is handed on when more has come after it.
                        waiting = event
                        continue
                    if waiting is not None and not went_on:
                        went_on = True
                        yield waiting
                    yield event
            return
        except StreamInterruptedError as error:
            if went_on:
                raise
            log.info("starting an answer over", model=model.model_id, error=str(error))
    async with Closing(model.stream(messages, **options)) as events:
        async for event in events:
            yield event
