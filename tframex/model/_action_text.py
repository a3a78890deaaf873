"""An answer that is one JSON object: calls, or what it says."""

from __future__ import annotations

import json
import re
from typing import Any

from tframex.completion import ToolCall
from tframex.model._call_text import CallText, read_call
from tframex.text import strip_thinking

__all__ = ["ActionText"]

_DECODER = json.JSONDecoder(strict=False)
_CALLS = re.compile(r'\s*\{\s*"calls"\s*:')
_AFTER = re.compile(r"\A\s*```|<\|[^<>|]*\|>\s*\Z")
_FENCE = re.compile(r"\A\s*```[ \t]*\w*[ \t]*\r?\n(?=\s*\{)")
_END = re.compile(r'"?\s*\}?\s*(```)?\s*\Z')
_ANSWER = re.compile(r'\s*\{\s*"answer"\s*:\s*')


class ActionText:
    """Reads `{"calls": [...]}` or `{"answer": ...}`, as `CallText` reads tags.

    What is neither is the answer itself, and is read for tags: a server may ignore the schema. Nothing is handed out before
    the end, since only the end shows what it is.

    Attributes:
        calls: The complete calls.
        cut: What has arrived of a call that the answer ends in; empty if it ends in none.
    """

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.cut = ""
        self._pieces: list[str] = []

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take in the next piece."""
        self._pieces.append(text)
        return []

    def end(self, *, truncated: bool = False) -> list[str | ToolCall]:
        """The answer is over; returns its text or its calls.

        Args:
            truncated: It was cut off.
        """
        written = "".join(self._pieces)
        self._pieces.clear()
        # Without a grammar, some models put a fence around their JSON, and text after it.
        text = _FENCE.sub("", strip_thinking(written))
        try:
            text = text.strip()
            action, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            return self._incomplete(written, text, truncated)
        if isinstance(action, dict):
            calls, rest = action.get("calls"), _AFTER.sub("", text[end:]).strip()
            if isinstance(calls, list) and (calls or "answer" not in action):
                self.calls = [read_call(_dumped(call), index) for index, call in enumerate(calls)]
                return [*self.calls, rest] if rest else list(self.calls)
            if "answer" in action and not rest:
                answer = action["answer"]
                return [answer if isinstance(answer, str) else _dumped(answer)]
        return self._tagged(written, truncated)

    def _incomplete(self, written: str, text: str, truncated: bool) -> list[str | ToolCall]:
        begun = "".join(text.split())
        if _CALLS.match(text) or (truncated and begun and '{"calls":'.startswith(begun)):
            # Also where it is not cut off but wrong: markup is not an answer.
            self.cut = text
            return []
        if truncated and '{"answer":'.startswith(begun):
            return []
        if (answer := _ANSWER.match(text)) is not None:
            rest = text[answer.end() :]
            return [_said(rest) if rest.startswith('"') else rest] if rest else []
        return self._tagged(written, truncated)

    def _tagged(self, written: str, truncated: bool) -> list[str | ToolCall]:
        reader = CallText()
        found = [*reader.feed(written), *reader.end(truncated=truncated)]
        self.calls, self.cut = reader.calls, reader.cut
        return found


def _said(text: str) -> str:
    """What there is of a JSON string that was cut off, or is wrong: its quotes are not escaped, say."""
    for end in range(len(text), max(0, len(text) - 12), -1):
        rest = text[end:]
        if rest and not rest.startswith("\\") and _END.fullmatch(rest) is None:
            continue  # neither in the middle of an escape, nor after the end of the string
        try:
            said: Any = json.loads(f'{text[:end]}"', strict=False)
        except ValueError:
            continue
        if isinstance(said, str):
            return said
    return _END.sub("", text[1:])


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
