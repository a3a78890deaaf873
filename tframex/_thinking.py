"""Reasoning that a model writes into its answer."""

from __future__ import annotations

import re

__all__ = ["strip_thinking"]

_BLOCK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def strip_thinking(text: str) -> str:
    """The text without `<think>...</think>`, also where the end or (with some chat templates) the beginning is missing."""
    _, closed, rest = text.rpartition("</think>")
    if closed and "<think>" not in text.partition("</think>")[0]:
        text = rest
    return _BLOCK.sub("", text).strip()
