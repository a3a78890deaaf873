"""The value of a JSON object while its text grows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["GrowingJSON"]

_TOKEN = re.compile(r'[ \t\r\n]*(?:([{}\[\],:"])|([^ \t\r\n{}\[\],:"]+))')
_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
# Half of an escape at the end of what has arrived, or the first of two that make one character.
_HALF = re.compile(
    r"(?<!\\)(?:\\\\)*(\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?|[0-9a-fA-F]{0,3}))$"
)
# Text is read when somebody asks for the value, or so many characters are waiting.
_WAITING = 512


class _Open(NamedTuple):
    """A dict or list that has begun and not ended.

    Attributes:
        value: What has arrived of it.
        key: Its place in the dict around it.
        item: What its items become when they are complete; it has no incomplete ones.
        placed: It is in what is around it already.
        hidden: It is inside an item that is not complete.
    """

    value: Any
    key: str
    item: Callable[[Any], Any] | None
    placed: bool
    hidden: bool


class GrowingJSON:
    """Reads a JSON object from text that arrives piece by piece, each character once.

    The object begins at the first `{`. What it returns is not changed afterwards: finished parts are shared between the
    values, and only what is still open is copied, so that a value costs about the same however long the text is.

    Args:
        items: What is done with each item of the list that a property of the object is, once, when the item is complete: a
            function that returns what takes its place. Such a list only has complete items.

    Attributes:
        closed: Whether the object is complete; up to date after `read`, `value` and `runs_on`.
        failed: Whether it turned out to be no JSON; its value then no longer grows.
        changes: How often the value has changed; up to date after `read`.
    """

    def __init__(self, items: Mapping[str, Callable[[Any], Any]] | None = None) -> None:
        self.closed = self.failed = False
        self.changes = 0
        self._items = items or {}
        self._new: list[str] = []
        self._waiting = 0
        self._rest = ""
        self._open: list[_Open] = []
        self._root: dict[str, Any] | None = None
        self._key: str | None = None
        self._text: str | None = None
        self._blank = self._beyond = 0

    def feed(self, piece: str) -> None:
        """Take in the next piece."""
        self._new.append(piece)
        self._waiting += len(piece)
        said = piece.rstrip()
        self._blank = len(piece) - len(said) + (0 if said else self._blank)

    def runs_on(self, most: int) -> bool:
        """Whether more than so much white space, digits of a number, or text after the object has arrived.

        Args:
            most: How many characters are none too many.
        """
        if self._blank > most or self._waiting > _WAITING:
            self.read()
        if self._text is None and (self._blank > most or len(self._rest) > most):
            return True
        return self._beyond > most

    @property
    def weight(self) -> int:
        """How much is copied for a value: the entries of the dicts that are open, an eighth of those of lists."""
        return sum(len(one.value) >> (3 if type(one.value) is list else 0) for one in self._open if not one.hidden)

    def value(self) -> Any:
        """What has arrived of the object: a dict; None before it begins."""
        self.read()
        if not self._open:
            return self._root
        root = inner = self._open[0].value.copy()
        for opened in self._open[1:]:
            if opened.hidden:
                return root
            copy = opened.value.copy()
            if type(inner) is list:
                inner[-1] = copy
            else:
                inner[opened.key] = copy
            inner = copy
        if self._text is not None:
            if type(inner) is list:
                if self._open[-1].item is None:
                    inner.append(self._text)
            elif self._key is not None:
                inner[self._key] = self._text
        return root

    def read(self) -> None:
        """Read the text that waits."""
        text = self._rest + "".join(self._new)
        self._new.clear()
        self._waiting = 0
        self._rest = ""
        if self.closed:
            self._beyond += len(text)
        elif not self.failed:
            try:
                self._scan(text)
            except (ValueError, IndexError):
                self.failed = True

    def _scan(self, text: str) -> None:
        position = 0
        if self._root is None:
            position = text.find("{")
            if position < 0:
                return
        while True:
            if self._text is not None:
                position = self._in_string(text, position)
            if position < 0 or (token := _TOKEN.match(text, position)) is None:
                return
            position = token.end()
            mark, literal = token.groups()
            if literal is not None:
                if position == len(text):
                    self._rest = literal  # the next piece may have more of it
                    return
                self._put(json.loads(literal))
            elif mark == '"':
                self._text = ""
                self.changes += self._shows_text
            elif mark in "{[":
                self._begin({} if mark == "{" else [])
            elif mark in "}]":
                self._end(dict if mark == "}" else list)
                if self.closed:
                    self._beyond = len(text) - position
                    return

    def _in_string(self, text: str, position: int) -> int:
        """Read on in a string; return where it has ended, or -1."""
        assert self._text is not None
        match = _STRING.match(text, position)
        assert match is not None
        end = match.end()
        raw = text[position:end]
        if end < len(text) and text[end] == '"':
            said = self._text + _unescaped(raw)
            if self._key is None and type(self._open[-1].value) is dict:
                self._key = said
            else:
                # Its end alone changes nothing.
                self.changes -= self._shows_text and not raw
                self._put(said)
            self._text = None
            return end + 1
        half = _HALF.search(raw) if "\\" in raw else None
        ready = raw if half is None else raw[: half.start(1)]
        self._rest = text[position + len(ready) :]
        if ready:
            self._text += _unescaped(ready)
            self.changes += self._shows_text
        return -1

    @property
    def _shows_text(self) -> bool:
        """Whether the text that has begun is part of the value."""
        around = self._open[-1]
        return not around.hidden and around.item is None and (self._key is not None or type(around.value) is list)

    def _begin(self, value: Any) -> None:
        if not self._open:
            self._root = value
            self._open.append(_Open(value, "", None, True, False))
            self.changes += 1
            return
        around = self._open[-1]
        key = self._key or ""
        placed = around.item is None
        if placed:
            self._place(around, value)
        at_root = len(self._open) == 1 and type(value) is list
        item = self._items.get(key) if at_root else None
        self._open.append(_Open(value, key, item, placed, around.hidden or not placed))
        self._key = None

    def _end(self, kind: type) -> None:
        ended = self._open.pop()
        if type(ended.value) is not kind:
            raise ValueError("another bracket is open")
        if not ended.placed:
            self._place(self._open[-1], ended.value)
        self.closed = not self._open

    def _put(self, value: Any) -> None:
        self._place(self._open[-1], value)
        self._key = None

    def _place(self, around: _Open, value: Any) -> None:
        if not around.hidden:
            self.changes += 1
        if type(around.value) is list:
            around.value.append(value if around.item is None else around.item(value))
        elif self._key is None:
            raise ValueError("a value without a key")
        else:
            around.value[self._key] = value


def _unescaped(raw: str) -> str:
    return str(json.loads(f'"{raw}"', strict=False)) if "\\" in raw else raw
