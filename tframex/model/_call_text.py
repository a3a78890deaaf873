"""Calls that a model writes into its text, read as the text arrives."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import msgspec

from tframex.completion import ToolCall
from tframex.model._call_ids import new_call_id

__all__ = ["CALL_BEGIN", "CALL_END", "CallText", "read_call"]

CALL_BEGIN = "<tool_call>"
CALL_END = "</tool_call>"
_THINK = "<think>"
_THOUGHT = "</think>"
# What changes the state of a scan through JSON: outside a string, and inside one.
_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


class _Written(msgspec.Struct):
    """A call as the model writes it; some write `parameters`, as the definition of a tool does."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"")
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class CallText:
    """Separates an answer into its text and the calls between `<tool_call>` and `</tool_call>`.

    Feed it the pieces of the answer, however it was cut into pieces, then call `end`. What might be the beginning of a tag
    is held back until it is known. A tag inside a JSON string does not end a call, and one inside a thought at the
    beginning of the answer (`<think>`) does not begin one.

    Args:
        names: The tools that can be called; a call of another one is text. None: every call is one.

    Attributes:
        calls: The complete calls so far.
        cut: What has arrived of a call that the answer ends in; empty if it ends in none.
    """

    def __init__(self, names: Collection[str] | None = None) -> None:
        self.calls: list[ToolCall] = []
        self.cut = ""
        self._names = names
        self._held = ""
        self._began = self._thinking = self._said = False
        # Nothing but white space since the last call: it is dropped, unless text follows.
        self._between = False
        self._body: list[str] | None = None
        self._depth = 0
        self._string = self._escaped = self._closed = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take in the next piece, and return the text and the calls that are certain now."""
        if self._began and not self._held and self._body is None and "<" not in text and not self._between:
            return [text]
        out: list[str | ToolCall] = []
        text, self._held = self._held + text, ""
        while text:
            text = self._inside(text, out) if self._body is not None else self._outside(text, out)
        return out

    def end(self, *, truncated: bool = False) -> list[str | ToolCall]:
        """The answer is over; returns what was held back.

        Args:
            truncated: It was cut off: the beginning of a tag at its end then is that of a call.
        """
        out: list[str | ToolCall] = []
        held, self._held = self._held, ""
        if self._body is None:
            # A single "<" may be the end of a text, but not all of it.
            if truncated and held and CALL_BEGIN.startswith(held) and (len(held) > 1 or not self._said):
                self.cut = held
            elif held and not (self._between and not held.strip()):
                out.append(held)
            return out
        body = "".join(self._body)
        self._body = None
        if self._closed:
            # Only the tag that closes the call is missing, or has not arrived completely.
            self._add(body, out)
            return out
        written, tag, rest = (body + held).partition(CALL_END)
        if truncated or not tag:
            self.cut = CALL_BEGIN + body + held
            return out
        # Its JSON does not end where the call does: it is wrong, and what follows the tag was taken for a part of it.
        self._add(written, out)
        return [*out, *self.feed(rest), *self.end(truncated=truncated)]

    def _outside(self, text: str, out: list[str | ToolCall]) -> str:
        if not self._began:
            begun = text.lstrip()
            if not begun or (len(begun) < len(_THINK) and _THINK.startswith(begun)):
                self._held = text
                return ""
            self._began = True
            self._thinking = begun.startswith(_THINK)
        wanted = _THOUGHT if self._thinking else CALL_BEGIN
        before, tag, rest = text.partition(wanted)
        if tag and self._thinking:
            self._thinking = False
            out.append(before + tag)
            return rest
        if not tag:
            keep = _overlap(text, wanted)
            before, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if self._between and not before.strip():
            self._held = "" if tag else before + self._held
        elif before:
            self._between, self._said = False, True
            out.append(before)
        if tag:
            self._body = []
            self._depth = 0
            self._string = self._escaped = self._closed = False
        return rest

    def _inside(self, text: str, out: list[str | ToolCall]) -> str:
        assert self._body is not None
        if not self._closed:
            end = self._scan(text)
            self._body.append(text[:end])
            return text[end:]
        after = text.lstrip()
        if not after or (len(after) < len(CALL_END) and CALL_END.startswith(after)):
            self._held = text
            return ""
        body, self._body = "".join(self._body), None
        # Without its tag, what follows is text.
        return after[len(CALL_END) :] if self._add(body, out) and after.startswith(CALL_END) else text

    def _scan(self, text: str) -> int:
        """Where the JSON object ends, or the length of the text."""
        at = 0
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_IN_STRING if self._string else _STRUCTURE).search(text, at)
            if found is None:
                return len(text)
            at = found.end()
            sign = found[0]
            if sign == "\\":
                self._escaped = True
            elif sign == '"':
                self._string = not self._string
            elif sign in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    self._closed = True
                    return at
        return at

    def _add(self, body: str, out: list[str | ToolCall]) -> bool:
        """Add a call, or its text if it is one of another tool; returns whether it is a call."""
        call = read_call(body, len(self.calls))
        if call.name and self._names is not None and call.name not in self._names:
            self._between = False
            out.append(CALL_BEGIN + body)
            return False
        self.calls.append(call)
        self._between = True
        out.append(call)
        return True


def read_call(body: str, index: int) -> ToolCall:
    """The call in this JSON; one without a name, with the text as its arguments, if it is not the JSON of a call."""
    written = body.strip()
    try:
        found = msgspec.json.decode(written, type=_Written)
        raw = bytes(found.arguments) or bytes(found.parameters)
        return ToolCall(index, new_call_id(), found.name, _object(raw.decode()))
    except (msgspec.MsgspecError, ValueError):
        pass
    try:
        # Line breaks inside strings are common, and their meaning is clear.
        lenient: Any = json.loads(written, strict=False)
        name, arguments = lenient["name"], lenient.get("arguments", lenient.get("parameters", {}))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ToolCall(index, new_call_id(), "", written)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(index, new_call_id(), str(name), text)


def _object(arguments: str) -> str:
    """The arguments, also where a model has put their JSON into a string."""
    if arguments.startswith('"'):
        return str(json.loads(arguments))
    return "{}" if arguments == "null" else arguments


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0
