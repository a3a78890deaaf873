"""What a type is called."""

from __future__ import annotations

import re
from typing import Any, get_origin

__all__ = ["name_of", "sent_name"]

_MODULE = re.compile(r"(?:\w+\.)+|<locals>\.")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def name_of(output_type: Any) -> str:
    """What a type is called, without the modules: `list[Film]`."""
    if get_origin(output_type) is None and isinstance(output_type, type):
        return output_type.__name__
    return _MODULE.sub("", str(output_type))


def sent_name(name: str) -> str:
    """The name as OpenAI takes it."""
    return _NOT_IN_A_NAME.sub("_", name).strip("_")[:64] or "answer"
