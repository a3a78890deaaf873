"""Cutting a long text into chunks that fit a token budget."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

from tframex._checks import check_count
from tframex.errors import ChunkingError, ConfigurationError
from tframex.tokens import TokenCounter, default_counter

__all__ = ["Chunk", "chunk_text"]

# Where a cut may fall, best first, and how full a chunk must be for that kind of cut: a paragraph that ends in the
# middle of a chunk does not end the chunk.
_BOUNDARIES = (
    (regex.compile(r"\n[ \t]*\r?\n\s*"), 0.85),
    (regex.compile(r"\n"), 0.88),
    (regex.compile(r"""[.!?…]+["'”’)\]]*\s+|[。！？]+["”’」』）]*"""), 0.88),
    (regex.compile(r"[,;:)\]—–]\s+|[，；：、]"), 0.92),
    (regex.compile(r"\s+"), 0.5),
    (regex.compile(r"(?<=[^\p{L}\p{N}])|(?<=\p{Han}|\p{Hiragana}|\p{Katakana})"), 0.5),
)
_WORD = regex.compile(r"\s+\K(?=\S)|(?<=[^\p{L}\p{N}\s])|(?<=\p{Han}|\p{Hiragana}|\p{Katakana})")
_GRAPHEME = regex.compile(r"\X")
# No grapheme of a living script is longer; families of emoji joined by ZWJ have about 11 characters.
_LONGEST_GRAPHEME = 256


@dataclass(frozen=True)
class Chunk:
    """A piece of a text.

    Attributes:
        text: The piece, equal to `source[start:end]`.
        start: Where it begins, in characters.
        end: Where it ends.
        tokens: How many tokens it has.
    """

    text: str
    start: int
    end: int
    tokens: int


def chunk_text(
    text: str, chunk_size: int, chunk_overlap: int = 0, *, counter: TokenCounter | None = None
) -> list[Chunk]:
    """Cut a text into chunks.

    Every chunk has at most `chunk_size` tokens and is a piece of the text as it stands; together they cover the text.
    Cuts fall between paragraphs where possible, else lines, sentences, clauses, words, and never inside a character
    as people see it (an emoji with joiners, a letter with its accents).

    Args:
        text: The text.
        chunk_size: The most tokens a chunk may have.
        chunk_overlap: The most tokens that a chunk may share with the one before.
        counter: What counts; the default uses cl100k.

    Raises:
        ConfigurationError: A size is out of range.
        ChunkingError: A single character needs more tokens than a chunk may have.
    """
    return list(_chunks(text, chunk_size, chunk_overlap, (counter or default_counter()).count))


def _chunks(text: str, size: int, overlap: int, count: Callable[[str], int]) -> Iterator[Chunk]:
    if not isinstance(text, str):
        raise ConfigurationError(f"the text to cut must be a string, not {type(text).__name__}")
    check_budget(size, overlap)
    start = reached = 0
    guess = size * 4
    while reached < len(text):
        end = _longest(text, start, size, count, guess)
        if end < len(text):
            end = _cut(text, start, end, after=reached)
        tokens = count(text[start:end])
        while tokens > size and end > reached:
            # A shorter piece does not always have fewer tokens.
            end = _grapheme_start(text, start, end - 1)
            tokens = count(text[start:end])
        if end <= reached and start == reached:
            end = _grapheme_end(text, start)
            tokens = count(text[start:end])
            if tokens > size:
                raise ChunkingError(
                    f"the character {text[start:end]!r} at position {start} alone has more than {size} tokens "
                    f"({tokens}); raise chunk_size"
                )
        if end <= reached:
            # The overlap leaves no room for anything new.
            start = reached
            continue
        yield Chunk(text[start:end], start, end, tokens)
        guess = max(16, end - start)
        reached = end
        start = _overlap_start(text, start, end, overlap, count) if overlap and end < len(text) else end


def check_budget(size: object, overlap: object) -> None:
    """Refuse sizes with which chunking cannot work."""
    check_count("chunk_size", size, unit="tokens")
    check_count("chunk_overlap", overlap, least=0, unit="tokens")
    if overlap >= size:  # type: ignore[operator] # both are whole numbers by now
        raise ConfigurationError(
            f"chunk_overlap ({overlap}) must be less than chunk_size ({size}): a chunk that only repeats the one before "
            "would never reach the end"
        )


def _longest(text: str, start: int, limit: int, count: Callable[[str], int], guess: int) -> int:
    """The end of about the longest piece from `start` that has at most `limit` tokens.

    Interpolates, since tokens are nearly proportional to characters; three or four counts are enough on prose.
    """
    longest = len(text) - start
    fits = 0
    breaks = longest + 1
    size = min(longest, guess)
    while True:
        tokens = count(text[start : start + size])
        if tokens <= limit:
            fits = size
            if size == longest or tokens >= limit - limit // 64:
                break
        else:
            breaks = size
        if breaks - fits <= max(1, fits // 128):
            break
        scaled = size * limit // max(1, tokens)
        if breaks > longest:
            size = min(longest, max(scaled, size + 1))
        else:
            size = min(max(scaled, fits + 1), breaks - 1)
            if size - fits < (breaks - fits) // 8 or breaks - size < (breaks - fits) // 8:
                size = (fits + breaks) // 2
    return start + fits


def _cut(text: str, start: int, end: int, *, after: int) -> int:
    """The best place to cut at or before `end`."""
    length = end - start
    for pattern, fill in _BOUNDARIES:
        earliest = max(after, start + int(length * fill))
        # A boundary may begin just before the window and may run past its end.
        for match in reversed(list(pattern.finditer(text, max(start, earliest - 2), end))):
            if match.end() > earliest and not _joins(text, match.end()):
                return int(match.end())
    return _grapheme_start(text, start, end)


def _joins(text: str, position: int) -> bool:
    """Whether a cut at `position` would part what a reader sees as one character."""
    if position >= len(text):
        return False
    following = text[position]
    return (
        unicodedata.category(following).startswith("M")
        or following in "\u200d\ufe0f\ufe0e"
        or (text[position - 1] == "\r" and following == "\n")
        or text[position - 1] == "\u200d"
        or "\U0001f3fb" <= following <= "\U0001f3ff"
        or "\U0001f1e6" <= following <= "\U0001f1ff"
        or "\u1100" <= following <= "\u11ff"
    )


def _grapheme_start(text: str, start: int, position: int) -> int:
    """The last border between visible characters at or before `position`."""
    if position <= start or position >= len(text):
        return max(start, min(position, len(text)))
    origin = max(start, position - _LONGEST_GRAPHEME)
    if origin > start and (space := text.rfind(" ", origin, position)) > 0:
        origin = space
    border = start
    for match in _GRAPHEME.finditer(text, origin, min(len(text), position + _LONGEST_GRAPHEME)):
        if match.end() > position:
            border = match.start() if match.start() > origin or origin == start else border
            break
        border = match.end()
    return int(border)


def _grapheme_end(text: str, start: int) -> int:
    """The end of the visible character that begins at `start`."""
    match = _GRAPHEME.match(text, start)
    return int(match.end()) if match else start


def _overlap_start(text: str, start: int, end: int, limit: int, count: Callable[[str], int]) -> int:
    """Where the next chunk begins, so that it repeats at most `limit` tokens of this one."""
    low, high = start + 1, end  # `low` may repeat too much, `high` does not
    while high - low > max(1, (end - high) // 32):
        middle = (low + high) // 2
        if count(text[middle:end]) <= limit:
            high = middle
        else:
            low = middle
    for match in _WORD.finditer(text, high, end):
        if not _joins(text, match.end()) and match.end() > high and count(text[match.end() : end]) <= limit:
            return int(match.end())
    return end
