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
    if thought:
        return count(thought)
    if not answer and usage is not None and completion.finish_reason == "length":
        # A thought that was dropped on the way. Beside a text it cannot be told from what the estimate of that is wrong by.
        return usage.completion_tokens
    return 0
