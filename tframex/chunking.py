"""Cutting a long text into chunks that fit a token budget."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from tframex._checks import check_count
from tframex.errors import ChunkingError, ConfigurationError
from tframex.text import Boundaries, Tally, grapheme_end, grapheme_start
from tframex.tokens import TokenCounter, default_counter

__all__ = ["Chunk", "Chunker", "chunk_text"]


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

    Every chunk has at most `chunk_size` tokens and is an unchanged piece of the text; together they cover the text. Cuts
    fall between paragraphs where possible, else between lines, sentences, clauses or words, and never inside a character as
    people see it (an emoji with joiners, a letter with its accents). Fenced code is not split where it fits into a chunk,
    and a Markdown heading stays with what follows it.

    The text is counted once, in pieces, so that cutting takes hardly longer than counting, and the time depends only on the
    length of the text. With a counter whose counts do not add up (see `TiktokenCounter.additive`), each chunk is counted
    once more.

    Args:
        text: The text.
        chunk_size: The most tokens a chunk may have.
        chunk_overlap: The most tokens that a chunk may share with the one before.
        counter: What counts; the default uses cl100k.

    Raises:
        ConfigurationError: A size is out of range.
        ChunkingError: A single character needs more tokens than a chunk may have.
    """
    check_budget(chunk_size, chunk_overlap)
    chunker = Chunker(text, counter=counter)
    chunks: list[Chunk] = []
    start = reached = 0
    while reached < len(text):
        chunk = chunker.next(start, chunk_size, after=reached)
        if chunk is None:
            # The overlap leaves no room for anything new.
            start = reached
            continue
        chunks.append(chunk)
        reached = chunk.end
        start = chunker.overlap(chunk, chunk_overlap) if chunk_overlap and reached < len(text) else reached
    return chunks


class Chunker:
    """Cuts chunk after chunk off a text; each may have its own size.

    Args:
        text: The text.
        counter: What counts; the default uses cl100k.

    Raises:
        ConfigurationError: The text is not a string.
    """

    def __init__(self, text: str, *, counter: TokenCounter | None = None) -> None:
        if not isinstance(text, str):
            raise ConfigurationError(f"the text to cut must be a string, not {type(text).__name__}")
        self.text = text
        self._counter = counter or default_counter()
        self._tally = Tally(text, self._counter)
        self._boundaries = Boundaries(text)

    def next(self, start: int, size: int, *, after: int | None = None, full: bool = False) -> Chunk | None:
        """The chunk that begins at `start`.

        Args:
            start: Where it begins: the end of an earlier chunk, or a result of `overlap`.
            size: The most tokens it may have.
            after: It must reach further than this; `start` by default.
            full: Use at least 97 % of the size, even if it then ends with a word instead of a paragraph.

        Returns:
            The chunk, or None if it cannot reach further than `after`.

        Raises:
            ChunkingError: The first character alone has more than `size` tokens.
        """
        text, tally = self.text, self._tally
        after = start if after is None else after
        before = tally.until(start)
        room = size
        while True:
            reach = tally.reach(before + room)
            end = self._cut(start, reach, size, after, full) if reach < len(text) else reach
            if end <= after:
                break
            tokens = tally.between(start, end)
            if tokens <= size:
                return Chunk(text[start:end], start, end, tokens)
            # The estimate was too low, or part of a token counts for more than its share.
            room = min(room - 1, room * size // tokens - 1)
            if room < 1:
                break
        return self._character(start, size) if start >= after else None

    def overlap(self, chunk: Chunk, limit: int) -> int:
        """Where the next chunk begins so that it repeats at most `limit` tokens of this one, starting at a word."""
        text, end = self.text, chunk.end
        earliest = max(chunk.start + 1, self._tally.reach(max(0, self._tally.until(end) - 2 * limit)))
        earliest = grapheme_start(text, chunk.start, earliest)
        words = [position for position in self._boundaries.words(earliest, end) if position < end]
        first = bisect_left(words, True, key=lambda position: self._counter.count(text[position:end]) <= limit)
        return words[first] if first < len(words) else end

    def tokens_until(self, position: int) -> int:
        """About how many tokens the text has before `position`."""
        return self._tally.until(position)

    def _cut(self, start: int, end: int, size: int, after: int, full: bool) -> int:
        """The best position for an end at or before `end`."""
        cut = self._boundaries.best(start, end, after=max(after, start + int((end - start) * 0.97)) if full else after)
        if full:
            return cut
        fence = self._boundaries.fence(cut)
        if fence is not None and fence[0] > after:
            code = self._tally.until(fence[1]) - self._tally.until(fence[0])
            cut = fence[0] if code <= size else cut
        heading = self._boundaries.before_heading(start, cut)
        return heading if heading > after else cut

    def _character(self, start: int, size: int) -> Chunk:
        end = grapheme_end(self.text, start)
        character = self.text[start:end]
        tokens = self._counter.count(character)
        if tokens > size:
            raise ChunkingError(
                f"the character {character!r} at position {start} alone has more than {size} tokens "
                f"({tokens}); raise chunk_size"
            )
        return Chunk(character, start, end, tokens)


def check_budget(size: object, overlap: object) -> None:
    """Refuse sizes with which chunking cannot work."""
    check_count("chunk_size", size, unit="tokens")
    check_count("chunk_overlap", overlap, least=0, unit="tokens")
    if overlap >= size:  # type: ignore[operator] # both were checked to be integers
        raise ConfigurationError(
            f"chunk_overlap ({overlap}) must be less than chunk_size ({size}): a chunk that only repeats the one before "
            "would never reach the end"
        )
