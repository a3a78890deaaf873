"""What a function's docstring says of it and of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["described"]


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description of a function, and of each parameter. Google, NumPy, reST and Epydoc styles are understood."""
    text = _docstring(function)
    if "\n" not in text:
        return text, {}
    # Imported for those who need it: it takes 29 ms.
    from docstring_parser import parse

    try:
        found = parse(text)
    except Exception:
        # It raises IndexError for text that only resembles a style; a docstring is no reason to refuse a tool.
        return text, {}
    parts = [found.short_description or "", found.long_description or ""]
    parameters = {item.arg_name.lstrip("*"): " ".join((item.description or "").split()) for item in found.params}
    return "\n\n".join(part for part in parts if part), parameters


def _docstring(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function):
        return inspect.getdoc(function) or ""
    # An object that can be called: its method's docstring, or that of its class.
    method = inspect.getdoc(type(function).__call__)
    return (None if method == inspect.getdoc(type.__call__) else method) or inspect.getdoc(type(function)) or ""
