"""Where in the text an answer's sentences come from."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass

import regex

__all__ = ["Source", "find_sources"]

_SENTENCE = regex.compile(r"""(?:[^.!?。！？\n]|[.!?](?=\S))++(?:[.!?。！？]++["'”’」』)\]]*+|\n|\Z)""")
_WORD = regex.compile(r"\p{Han}|\p{Hiragana}|\p{Katakana}|[\p{L}\p{M}\p{N}]+")
# The text is searched for passages of this many words; shorter ones occur everywhere.
_SHINGLE = 3
_LEAST_WORDS = 4
# The share of a sentence's words that its passage has in the same order.
_NEAR = 0.6
_COMMON = 50
# A longer sentence is looked for by its beginning: comparing takes quadratic time.
_LONGEST = 300


@dataclass(frozen=True)
class Source:
    """A sentence of an answer, and the passage of the text it was taken from.

    Attributes:
        sentence: The sentence.
        start: Where it begins in the answer, in characters.
        end: Where it ends.
        chunk: The number of the part that the passage was read in, or None if no passage was found.
        source_start: Where the passage begins in the text, or None.
        source_end: Where it ends, or None.
        similarity: The share of the sentence's words that the passage has in the same order: 1.0 is word for word,
            0.0 means that no passage was found.
    """

    sentence: str
    start: int
    end: int
    chunk: int | None = None
    source_start: int | None = None
    source_end: int | None = None
    similarity: float = 0.0


def find_sources(answer: str, text: str, spans: list[tuple[int, int]]) -> tuple[Source, ...]:
    """Match the sentences of an answer to passages of a text.

    Words are compared without regard to case, white space and punctuation. A sentence is near-verbatim if a passage has at
    least 60 % of its words in the same order; sentences of fewer than four words are not looked for.

    Args:
        answer: The answer.
        text: The text.
        spans: Beginning and end of the parts in which the text was read.
    """
    words = [(match.group().casefold(), match.start(), match.end()) for match in _WORD.finditer(text)]
    places = _index([word for word, _, _ in words])
    found = []
    for match in _SENTENCE.finditer(answer):
        sentence = match.group()
        if _WORD.search(sentence):
            start = match.start() + len(sentence) - len(sentence.lstrip())
            end = match.start() + len(sentence.rstrip())
            found.append(_source(answer[start:end], start, end, words, places, spans))
    return tuple(found)


def _index(words: list[str]) -> dict[tuple[str, ...], list[int]]:
    places: dict[tuple[str, ...], list[int]] = {}
    for position in range(len(words) - _SHINGLE + 1):
        places.setdefault(tuple(words[position : position + _SHINGLE]), []).append(position)
    return places


def _source(
    sentence: str,
    start: int,
    end: int,
    words: list[tuple[str, int, int]],
    places: dict[tuple[str, ...], list[int]],
    spans: list[tuple[int, int]],
) -> Source:
    asked = [match.group().casefold() for match in _WORD.finditer(sentence)][:_LONGEST]
    best: tuple[float, int, int] = (0.0, 0, 0)
    if len(asked) >= _LEAST_WORDS:
        # Where the sentence would begin, judged by the place of each of its shingles in the text.
        begins: Counter[int] = Counter()
        for offset in range(len(asked) - _SHINGLE + 1):
            for place in places.get(tuple(asked[offset : offset + _SHINGLE]), ())[:_COMMON]:
                begins[max(0, place - offset)] += 1
        for begin, _ in begins.most_common(5):
            low, high = max(0, begin - 2), min(len(words), begin + len(asked) + len(asked) // 3 + 2)
            passage = [word for word, _, _ in words[low:high]]
            blocks = [
                b for b in difflib.SequenceMatcher(None, asked, passage, autojunk=False).get_matching_blocks() if b.size
            ]
            share = sum(block.size for block in blocks) / len(asked)
            if blocks and share > best[0]:
                last = blocks[-1]
                best = (share, low + blocks[0].b, low + last.b + last.size - 1)
    similarity, first, final = best
    if similarity < _NEAR:
        return Source(sentence, start, end)
    begin, finish = words[first][1], words[final][2]
    chunk = next((number for number, (low, high) in enumerate(spans) if low <= begin < high), None)
    return Source(sentence, start, end, chunk, begin, finish, round(similarity, 3))
