"""JSON that Python's `json` reads and msgspec refuses.

Numbers that are none (`-Infinity` as the logarithm of a probability), and halves of characters: a gateway that cuts text as
JavaScript counts it may send an emoji in two events.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from tframex.exchange._wire import Chunk, read_leniently

__all__ = ["OddJSON", "parsed", "put_together"]

_TEXTS = ("content", "reasoning", "reasoning_content", "refusal")


def parsed(data: bytes, refusal: msgspec.DecodeError) -> Any:
    """What Python makes of JSON that msgspec refused.

    Raises:
        msgspec.DecodeError: The `refusal`: Python does not read it either.
    """
    try:
        return json.loads(data)
    except ValueError:
        raise refusal from None


def put_together(text: str) -> str:
    """Text that can be encoded: halves of characters that belong together are one, and others a replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class OddJSON:
    """Reads the chunks of one response that msgspec refuses.

    Args:
        convert: Makes a chunk of parsed JSON; a `msgspec.ValidationError` says that it has another shape.
        leniently: Makes a chunk of parsed JSON of any shape.
    """

    def __init__(self, convert: Callable[[Any], Chunk], leniently: Callable[[Any], Chunk] = read_leniently) -> None:
        self._convert = convert
        self._leniently = leniently
        self._halves: dict[object, str] = {}
        self.unspliceable = False
        """Something was read that cannot be joined to another response."""

    def read(self, data: bytes, refusal: msgspec.DecodeError) -> Chunk:
        """The chunk; its text is always text that can be encoded.

        Args:
            data: Its JSON.
            refusal: What msgspec said of it.

        Raises:
            ValueError: Python does not read it either, or it is nothing like a chunk.
        """
        body = parsed(data, refusal)
        try:
            chunk = self._convert(body)
        except msgspec.ValidationError:
            # JSON of another shape. It can be read, but joining two halves of it would be a risk.
            chunk = self._leniently(body)
            self.unspliceable = True
        for choice in chunk.choices or ():
            last = choice.finish_reason is not None
            if (delta := choice.delta) is None:
                continue
            for name in _TEXTS:
                if (text := getattr(delta, name)) is not None:
                    setattr(delta, name, self._mended((choice.index, name), text, last=last))
            for call in delta.tool_calls or ():
                if (function := call.function) is not None and function.arguments is not None:
                    key = (choice.index, "arguments", call.index)
                    function.arguments = self._mended(key, function.arguments, last=last)
        return chunk

    def _mended(self, key: object, text: str, *, last: bool) -> str:
        """The text with its halves put together; one at its end waits for the other, unless this is the `last` text."""
        if text.isascii():
            return text
        held = self._halves.pop(key, "")
        if "\udc00" <= text[0] <= "\udfff":
            text = held + text
        try:
            text.encode()
        except UnicodeEncodeError:
            self.unspliceable = True
        else:
            return text
        if "\ud800" <= text[-1] <= "\udbff" and not last:
            self._halves[key] = text[-1]
            text = text[:-1]
        return put_together(text)
