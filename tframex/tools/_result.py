"""What a tool has returned, as the text that the model reads."""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["as_text"]


def as_text(value: Any, name: str) -> str:
    """Text as it is; everything else as JSON, written by pydantic: models, dataclasses, dates, and lists and dicts of them.

    Raises:
        TypeError: It cannot be written.
    """
    if isinstance(value, str) and not isinstance(value, Enum):
        return value
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value).decode()
    except PydanticSerializationError as exc:
        raise TypeError(
            f"the tool {name} returned {type(value).__name__}, which cannot be written as JSON ({exc}); return text, or "
            "values that pydantic can write"
        ) from exc
