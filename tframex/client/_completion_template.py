"""Copies of an official `Completion` that differ from it in nothing but their text, and the ids of its tokens."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from openai.types import Completion, CompletionChoice

from tframex.client._slots import copied, parts_of

__all__ = ["CompletionTemplate"]

_IDS = b'"token_ids":['
_decode_text = msgspec.json.Decoder(str).decode


class CompletionTemplate:
    """Makes chunks like one that the official client has constructed: in most streams they differ in their text alone.

    The official types have no `finish_reason` of None, which nearly all chunks have, so the official client validates each,
    which fails, and then constructs it unchecked: over 100 us. A copy costs about 2 us.

    Args:
        chunk: The chunk; its only choice is nothing but text.
        parts: Its JSON as far as the text, between the text and the ids of its tokens, and behind those; where it has no
            ids, what is behind the text, and nothing.
    """

    def __init__(self, chunk: Completion, parts: tuple[bytes, bytes, bytes]) -> None:
        self._chunk, self._choice = parts_of(chunk), parts_of(chunk.choices[0])
        self._before, self._between, self._after = parts
        self._with_ids = self._between.endswith(_IDS)

    @classmethod
    def of(cls, chunk: Completion, data: bytes) -> CompletionTemplate | None:
        """The template for a chunk and its JSON; None if copies would have more in common with it than they may."""
        if len(chunk.choices or ()) != 1 or not isinstance(text := chunk.choices[0].text, str):
            return None
        before, found, after = data.partition(json.dumps(text, ensure_ascii=False).encode(errors="replace"))
        if not found or not before.rstrip().endswith(b'"text":') or b'"text"' in after:
            return None
        values: list[Any] = []
        for model, below in ((chunk, "choices"), (chunk.choices[0], "text")):
            fields = {**vars(model), **(model.__pydantic_extra__ or {})}
            values += [value for name, value in fields.items() if name not in (below, "token_ids")]
        # What can be changed must not be shared.
        if any(not isinstance(value, (str, int, float, type(None))) for value in values):
            return None
        between, found, behind = after.partition(_IDS)
        if not found:
            return cls(chunk, (before + b'"', b'"' + after, b""))
        _, bracket, behind = behind.partition(b"]")
        return None if _IDS in behind else cls(chunk, (before + b'"', b'"' + between + found, bracket + behind))

    def fill(self, data: bytes) -> Completion | None:
        """The chunk of other JSON; None if that differs in anything else."""
        read = self.read(data)
        return None if read is None else self.saying(*read)

    def read(self, data: bytes) -> tuple[str, list[int] | None] | None:
        """The text of a chunk and the ids of its tokens, from its JSON; None if that differs in anything else."""
        start, end = len(self._before), len(data) - len(self._after)
        if not (data.startswith(self._before) and data.endswith(self._after)):
            return None
        text, found, ids = data[start:end].rpartition(self._between)
        if not found or (ids and not self._with_ids):
            return None
        try:
            numbers = [int(number) for number in ids.split(b",")] if self._with_ids else None
            return _decode_text(b'"%b"' % text), numbers
        except ValueError:
            return None

    def saying(self, text: str, numbers: list[int] | None) -> Completion:
        """The chunk that says `text`.

        Args:
            text: Its text.
            numbers: The ids of its tokens, if it has any.
        """
        choice = copied(CompletionChoice, self._choice, "text", text)
        if numbers is not None:
            choice.__pydantic_extra__["token_ids"] = numbers
        made: Completion = copied(Completion, self._chunk, "choices", [choice])
        return made
