"""An answer of a type while it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tframex.model.output import Output
from tframex.text import GrowingJSON

__all__ = ["OutputGrowth"]

_OPEN, _CLOSE = "<think>", "</think>"
# White space, or text after the value, of which more is no accident; and where no grammar ends the answer.
_MOST, _MOST_FREE = 200, 40
# Entries that are copied for a piece of the answer: about 3 us.
_WEIGHT = 256


class OutputGrowth:
    """Takes in the text of an answer, and says what has arrived of its value and whether it runs on without end.

    Args:
        output: The type.
        items: Whether the items of lists are validated, each when it is complete.
    """

    def __init__(self, output: Output[Any], *, items: bool) -> None:
        self._output = output
        makers: dict[str, Callable[[Any], Any]] = output.item_makers() if items else {}
        self._json = GrowingJSON(makers)
        self._held: str | None = ""
        self._seen = self._pieces = 0

    @property
    def closed(self) -> bool:
        """Whether the value is complete; up to date after `runs_on`."""
        return self._json.closed

    def feed(self, piece: str) -> None:
        """Take in the next piece."""
        if self._held is None:
            self._json.feed(piece)
            return
        # The thought that an answer begins with may have brackets in it.
        text = (self._held + piece).lstrip()
        if text.startswith(_OPEN):
            thought, closed, text = text.partition(_CLOSE)
            if not closed:
                # Half of the closing tag may have arrived.
                self._held = _OPEN + thought[len(_OPEN) :][-len(_CLOSE) :]
                return
        elif _OPEN.startswith(text):
            self._held = text
            return
        self._held = None
        self._json.feed(text)

    def runs_on(self, *, free: bool) -> bool:
        """Whether it has become white space, digits, or text after the value, without end.

        Args:
            free: It is the continuation of an answer, without its grammar: then it may also have left the JSON.
        """
        if not free:
            return self._json.runs_on(_MOST)
        self._json.read()
        return self._json.failed or self._json.runs_on(_MOST_FREE)

    def news(self) -> tuple[Any] | None:
        """What has arrived of the value, if that is more than the last time.

        Raises:
            OutputValidationError: A complete item of a list does not fit its type.
        """
        growing = self._json
        growing.read()
        self._pieces += 1
        # However many entries it has, a value costs a bounded part of the pieces it is made of.
        if growing.changes == self._seen or growing.failed or growing.weight > self._pieces * _WEIGHT:
            return None
        self._seen, self._pieces = growing.changes, 0
        value = growing.value()
        if self._output.wrapped:
            return (value["value"],) if "value" in value else None
        return (value,)
