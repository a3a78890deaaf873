"""Checks that several layers share."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tframex._types import Messages
from tframex.errors import ConfigurationError

__all__ = ["check_count", "check_interval", "check_messages"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def check_count(name: str, value: object, *, least: int = 1, unit: str = "", instead: str = "") -> int:
    """Refuse anything but an integer of at least `least`; the message names `instead` as what else is allowed."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        of = f" of {unit}" if unit else ""
        raise ConfigurationError(
            f"{name} must be a whole number{of}, at least {least}{instead and f' {instead}'}, not {value!r}"
        )
    return value


def check_interval(interval: object) -> float:
    """Refuse anything but a number of seconds, at least 0."""
    if not isinstance(interval, (int, float)) or isinstance(interval, bool) or not 0 <= interval < math.inf:
        raise ConfigurationError(
            f"interval must be a number of seconds between two pieces, or 0 for every token immediately, not {interval!r}"
        )
    return interval


def check_messages(messages: object) -> Messages:
    """Refuse messages that no chat endpoint could understand."""
    if isinstance(messages, str):
        raise ConfigurationError(
            f"messages must be a list of messages, not the string {_short(messages)}; "
            'write [{"role": "user", "content": ...}], or give the prompt to an agent'
        )
    if not isinstance(messages, (list, tuple)):
        raise ConfigurationError(f"messages must be a list of messages, not {type(messages).__name__}")
    if not messages:
        raise ConfigurationError("messages is empty; give at least one message")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ConfigurationError(f"messages[{position}] must be a dict, not {_short(message)}")
        role = message.get("role")
        if role not in _ROLES:
            raise ConfigurationError(f"messages[{position}] has the role {role!r}; expected one of {', '.join(_ROLES)}")
        content = message.get("content")
        if not isinstance(content, (str, list)) and not (content is None and role == "assistant"):
            raise ConfigurationError(f"messages[{position}]['content'] must be text, not {_short(content)}")
    return messages


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
