"""One step of a long job, as its journal keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "content_key"]


@dataclass(frozen=True)
class Row:
    """One step.

    Attributes:
        name: Which step of the job it is.
        key: The `content_key` of what was asked.
        start: Where in the text the part it read begins, in characters.
        end: Where that part ends.
        done: Whether `text` is the complete answer, not only what has arrived of it.
        text: The answer.
        tokens: How many events it arrived in.
        details: What else is known of it, as JSON values.
    """

    name: str
    key: str
    start: int
    end: int
    done: bool
    text: str
    tokens: int
    details: dict[str, Any]

    @classmethod
    def of(cls, values: Sequence[Any]) -> Row:
        """The step whose columns these are, in the order of the table. Raises ValueError if they are damaged."""
        name, key, start, end, done, text, tokens, details = values
        return cls(name, key, start, end, bool(done), text, tokens, json.loads(details))

    def values(self) -> tuple[str | int, ...]:
        """Its columns, in the order of the table."""
        details = json.dumps(self.details, ensure_ascii=False)
        return self.name, self.key, self.start, self.end, int(self.done), self.text, self.tokens, details


def content_key(*content: object) -> str:
    """A short name for content: equal for equal content, in every process."""
    written = json.dumps(content, sort_keys=True, default=repr, ensure_ascii=False)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:32]
