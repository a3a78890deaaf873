"""How long the requests of a conversation are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tframex._types import Messages
from tframex.completion import Completion
from tframex.model import BaseModel

__all__ = ["learn", "measured"]

# Before an endpoint that does not count has answered anything: JSON takes 1.5 times as many tokens in a Qwen vocabulary.
_UNKNOWN = 1.6


async def measured(model: BaseModel, messages: Messages, tools: Sequence[Mapping[str, Any]] = ()) -> int:
    """Tokens of a request: exactly where the endpoint counts, else a number that it hardly ever exceeds.

    Args:
        model: The model.
        messages: The messages.
        tools: The definitions of tools that are sent with them.
    """
    counter = model.counter
    tokens = await counter.measure(messages, tools)
    if counter.exact or counter.knows:
        return tokens
    # Its bytes, which would leave no room for anything.
    return min(
        tokens, math.ceil(_UNKNOWN * counter.count_messages(messages) + counter.count(str(tools) if tools else ""))
    )


def learn(model: BaseModel, messages: Messages, completion: Completion) -> None:
    """Correct later estimates with what the endpoint reports of a call, where it does not count itself."""
    usage = completion.usage
    if not model.counter.exact and usage is not None and not usage.estimated and not completion.retries:
        model.counter.observe(messages, usage.prompt_tokens)
