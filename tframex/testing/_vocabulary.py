"""The tokens of the fake server."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["EOS", "OPEN", "Vocabulary", "split_words"]

EOS = "<|im_end|>"
OPEN = "<think>\n"
_TOKEN = re.compile(r"\s?[^\W\d_]+|\s?\d|\s?[^\w\s]|\s+|_|.", re.DOTALL)


def split_words(text: str) -> list[str]:
    """Tokens of a simple tokenizer: words, single digits and signs, with the space before them."""
    return _TOKEN.findall(text)


class Vocabulary:
    """Numbers for tokens, in the order in which they are first seen.

    Args:
        tokenize: Cuts a text into tokens; joined together they are the text.
    """

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        self._tokenize = tokenize
        self._ids: dict[str, int] = {}
        self._words: list[str] = []

    def ids(self, text: str) -> list[int]:
        """The token ids of a text."""
        return [self.id(word) for word in self._tokenize(text)]

    def text(self, ids: list[int]) -> str:
        """The text of token ids."""
        return "".join(self._words[number] for number in ids)

    def id(self, word: str) -> int:
        """The id of one token."""
        number = self._ids.setdefault(word, len(self._words))
        if number == len(self._words):
            self._words.append(word)
        return number
