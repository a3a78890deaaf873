"""Checks that several layers share."""

from __future__ import annotations

from tframex.errors import ConfigurationError

__all__ = ["check_count"]


def check_count(name: str, value: object, *, least: int = 1, unit: str = "", instead: str = "") -> int:
    """Refuse anything but a whole number of at least `least`; `instead` says what else is allowed."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        of = f" of {unit}" if unit else ""
        raise ConfigurationError(
            f"{name} must be a whole number{of}, at least {least}{instead and f' {instead}'}, not {value!r}"
        )
    return value
