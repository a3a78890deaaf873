"""What is wrong with a model's arguments, in words that it can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["arguments_wrong", "at", "details"]

# More would not help, and each costs tokens.
_MOST = 8


def arguments_wrong(name: str, problems: Iterable[str]) -> str:
    """The message to the model."""
    found = list(problems)
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"The arguments of {name} are wrong: {'; '.join(found[:_MOST])}{more}. Correct them and call {name} again."


def details(errors: Sequence[Any]) -> list[str]:
    """The errors of pydantic as sentences, without the values, which the model has written itself."""
    return [_detail(error) for error in errors]


def _detail(error: Any) -> str:
    kind, place = error["type"], at(error["loc"])
    if kind.startswith("missing"):
        return f"{place} is required"
    if kind == "unexpected_keyword_argument":
        return f"there is no argument {place}"
    return f"{place}: {error['msg']}" if place else str(error["msg"])


def at(path: Iterable[object]) -> str:
    """Where in the arguments: `trip.days[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
