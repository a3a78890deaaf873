"""How the journals identify a call."""

from __future__ import annotations

from typing import Any

from tframex.files import content_key
from tframex.model import BaseModel

__all__ = ["call_key"]


def call_key(model: BaseModel, options: dict[str, Any], *content: object) -> str:
    """Equal for calls that would get the same answer: one model, equal content, equal options.

    Args:
        model: The model, with its own settings.
        options: The options of the call; those that only say how long to wait do not count.
        content: The messages, or what they are made from.
    """
    return content_key(model.shaping(options), *content)
