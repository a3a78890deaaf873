"""How much of an answer was thought."""

from __future__ import annotations

from collections.abc import Callable

from tframex.completion import Completion
from tframex.text import strip_thinking

__all__ = ["thought_tokens"]


def thought_tokens(completion: Completion, count: Callable[[str], int]) -> int:
    """Tokens of the thought before the text: as the server says, as counted, or what nothing else explains.

    Args:
        completion: The answer.
        count: Counts as the model does, about.
    """
    usage = completion.usage
    if usage is not None and usage.reasoning_tokens:
        return usage.reasoning_tokens
    text = completion.text.strip()
    answer = strip_thinking(text)
    thought = completion.reasoning or text[: len(text) - len(answer)]
    if not answer and completion.finish_reason == "length" and usage is not None:
        # Also a thought that was dropped on the way.
        return usage.completion_tokens
    tokens = count(thought)
    if tokens and usage is not None and not usage.estimated:
        # The share of the thought is the same with any tokenizer, about; the sum is known.
        return round(usage.completion_tokens * tokens / (tokens + count(answer)))
    return tokens
