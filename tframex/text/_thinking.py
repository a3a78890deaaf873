"""Reasoning that a model writes into its answer."""

from __future__ import annotations

import re

__all__ = ["ThoughtFilter", "strip_thinking"]

_OPEN, _CLOSE = "<think>", "</think>"
# The end of a thought as models write it: on its own line, followed by a blank one.
_END_LINE = re.compile(r"^[ \t]*</think>[ \t]*\r?\n[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def strip_thinking(text: str, *, opened: bool | None = None) -> str:
    """The answer without the thought it begins with, and without white space around it.

    Only a thought at the very beginning counts: from `<think>` to the first `</think>`, or to the end where that is
    missing. An answer that mentions the tags stays complete.

    Some chat templates write the `<think>` into the prompt, so that the text begins inside the thought. Where `opened` is
    None, the text itself must show that: by a `</think>` on its own line and a blank line after it, with no `<think>`
    before it and not inside a block of code.

    Args:
        text: What the model has written.
        opened: Whether the prompt ends with `<think>`; None if that is unknown.
    """
    if opened or text.lstrip().startswith(_OPEN):
        return text.partition(_CLOSE)[2].strip()
    if opened is None:
        for end in _END_LINE.finditer(text):
            if _is_evidence(text[: end.start()]):
                return text[end.end() :].strip()
    return text.strip()


def _is_evidence(before: str) -> bool:
    """Whether what is before the end of a thought can be one."""
    return _OPEN not in before and len(_FENCE.findall(before)) % 2 == 0


class ThoughtFilter:
    """Leaves out the thought that an answer begins with, and the white space around the answer, while it streams.

    Text that has been handed out cannot be taken back: a thought whose beginning is in the prompt is only left out with
    `opened`.

    Args:
        opened: Whether the prompt ends with `<think>`, so that the text begins inside the thought.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self._held = ""
        self._phase = "thought" if opened else "start"

    def feed(self, piece: str) -> str:
        """Take in the next piece and return the part of it that belongs to the answer."""
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
                # Half of the closing tag may have arrived.
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
        """The text that is left at the end: what looked like the beginning of a tag."""
        return self._held.rstrip() if self._phase == "start" else ""
