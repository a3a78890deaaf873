"""Reasoning that a model writes into its answer."""

from __future__ import annotations

import re

__all__ = ["ThoughtFilter", "strip_thinking"]

_OPEN, _CLOSE = "<think>", "</think>"
_BLOCK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def strip_thinking(text: str) -> str:
    """The text without `<think>...</think>`, also where the end or (with some chat templates) the beginning is missing."""
    _, closed, rest = text.rpartition("</think>")
    if closed and "<think>" not in text.partition("</think>")[0]:
        text = rest
    return _BLOCK.sub("", text).strip()


class ThoughtFilter:
    """Leaves out the thought that an answer begins with, and the white space around the answer, while it streams."""

    def __init__(self) -> None:
        self._held = ""
        self._phase = "start"

    def feed(self, piece: str) -> str:
        """Take the next piece in and return what of it belongs to the answer."""
        text = self._held + piece
        self._held = ""
        if self._phase == "start":
            text = text.lstrip()
            if len(text) < len(_OPEN) and _OPEN.startswith(text):
                self._held = text
                return ""
            self._phase = "thought" if text.startswith(_OPEN) else "text"
        if self._phase == "thought":
            _, closed, rest = text.partition(_CLOSE)
            if not closed:
                # Half of the closing tag may have come.
                self._held = text[-len(_CLOSE) :]
                return ""
            self._phase, text = "answer", rest
        if self._phase == "answer":
            text = text.lstrip()
            if not text:
                return ""
            self._phase = "text"
        # White space at the end is held back until more follows.
        answer = text.rstrip()
        self._held = text[len(answer) :]
        return answer

    def finish(self) -> str:
        """What is left at the end: the beginning of a tag that was none."""
        return self._held if self._phase == "start" else ""
