"""Whether a request fits into the model's context window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.errors import ContextLengthError
from tframex.model.counter import written
from tframex.tokens import text_of

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["answer_tokens", "fitted"]

log = get_logger("tframex.model")

# Every served model takes a request of this size, so that the endpoint need not be asked.
_ALWAYS_FITS = 2048


def answer_tokens(model: BaseModel, options: dict[str, Any]) -> int | None:
    """How many tokens the answer may have: by its options, else by the model's default; None if neither limits it."""
    for limit in (options.get("max_completion_tokens"), options.get("max_tokens"), model.default_max_tokens):
        if isinstance(limit, int):
            return limit
    return None


async def fitted(
    model: BaseModel, messages: Messages, options: dict[str, Any], *, room: int = 1, certain: bool = False
) -> dict[str, Any]:
    """The options with which a request fits: an answer that would exceed the window gets what is left of it.

    Args:
        model: The model.
        messages: The conversation.
        options: The options of the call; the definitions of `tools` among them are part of the prompt.
        room: Tokens that have to be left for the answer.
        certain: Where the endpoint does not count, refuse a prompt that hardly ever, but possibly, leaves less.

    Raises:
        ContextLengthError: The prompt leaves less; nothing was sent.
    """
    limit = answer_tokens(model, options)
    answer = limit or room
    room = min(room, answer)
    tools = options.get("tools") or ()
    size = sum(len(text_of(message)) for message in messages) + (len(repr(tools)) if tools else 0)
    # A character has at most 4 bytes, and a token at least one.
    if 4 * size + 64 + 16 * len(messages) + answer <= min(_ALWAYS_FITS, model.context_window or _ALWAYS_FITS):
        return options
    window = await model.window()
    if window is None or model.counter.bound([*messages, *written(tools)]) + answer <= window:
        return options
    tokens = await model.counter.measure(messages, tools)
    if not model.counter.exact:
        everything = [*messages, *written(tools)]
        tokens = model.counter.bound(everything) if certain else model.counter.count_messages(everything)
    if tokens + room > window:
        raise ContextLengthError(
            f"the prompt has {'' if model.counter.exact else 'about '}{tokens} tokens, and the context window of "
            f"{model.model_id!r} has {window}; nothing was sent. Shorten the prompt, or give a long text to "
            "ChainOfAgents or MapReduceSystem, which read it in chunks.",
            model_id=model.model_id,
            prompt_tokens=tokens,
            context_window=window,
        )
    if tokens + answer <= window:
        return options
    log.info("answer shortened to fit the window", model=model.model_id, asked=answer, left=window - tokens)
    name = "max_completion_tokens" if isinstance(options.get("max_completion_tokens"), int) else "max_tokens"
    return {**options, name: window - tokens}
