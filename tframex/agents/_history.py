"""What was said before a prompt."""

from __future__ import annotations

from typing import Any

from tframex._types import Message, Messages
from tframex.text import strip_thinking

__all__ = ["after", "exchange_of"]


def after(history: Messages, messages: Messages) -> list[Message]:
    """The messages of a request with a history before its prompt: the last message of the user.

    What an agent sends before the prompt (a system message, examples) is thus the same in every turn.
    """
    if not history:
        return [*messages]
    at = max((number for number, message in enumerate(messages) if message.get("role") == "user"), default=0)
    return [*messages[:at], *history, *messages[at:]]


def exchange_of(prompt: str, text: str) -> list[dict[str, Any]]:
    """A prompt and its answer as they are sent again: without the thought before the answer."""
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": strip_thinking(text) or text},
    ]
