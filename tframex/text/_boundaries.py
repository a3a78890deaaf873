"""Where a text may be cut.

Graphemes follow Unicode Standard Annex 29 (https://unicode.org/reports/tr29/) as the `regex` package implements it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator

import regex

__all__ = ["Boundaries", "grapheme_end", "grapheme_start"]

# What a cut may follow, best first, and how full a chunk must be for that kind of cut: a paragraph that ends in the middle
# of a chunk does not end the chunk.
_KINDS = (
    (regex.compile(r"\n[ \t]*+\r?+\n\s*+"), 0.85),
    (regex.compile(r"\n"), 0.88),
    (regex.compile(r"""(?<![.!?…])[.!?…]++["'”’)\]]*+\s++|[。！？]++["”’」』）]*+"""), 0.88),
    (regex.compile(r"[,;:)\]—–]\s++|[，；：、]"), 0.92),
    (regex.compile(r"\s++"), 0.5),
    (regex.compile(r"(?<=[^\p{L}\p{N}])|(?<=\p{Han}|\p{Hiragana}|\p{Katakana})"), 0.5),
)
_WORD = regex.compile(r"(?<=\s)(?=\S)|(?<=[^\p{L}\p{N}\s])|(?<=\p{Han}|\p{Hiragana}|\p{Katakana})")
_GRAPHEME = regex.compile(r"\X")
_PREPENDED = regex.compile(r"\p{Grapheme_Cluster_Break=Prepend}")
_FENCE = regex.compile(r"^(?P<fence>```+|~~~+)[^\n]*\n(?s:.*?)(?:^(?P=fence)[ \t]*\r?(?:\n|\Z)|\Z)", regex.MULTILINE)
_HEADING = regex.compile(r"(?:^#{1,6}[ \t][^\n]*+\n\s*+)++\Z", regex.MULTILINE)
_VISIBLE = regex.compile(r"\S")
# Characters to look back, enough for the joiners of an emoji; anything longer is followed to its beginning.
_NEAR = 64
_LONGEST_HEADING = 1000


class Boundaries:
    """The positions in a text where a cut reads well.

    Args:
        text: The text. Headings and fenced code are recognised in Markdown.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        fenced = "```" in text or "~~~" in text
        self._fences = [match.span() for match in _FENCE.finditer(text)] if fenced else []

    def best(self, start: int, end: int, *, after: int) -> int:
        """The best position at or before `end` to end a piece that begins at `start`; if there is none, a grapheme's end.

        Args:
            start: Where the piece begins.
            end: Where it must end at the latest.
            after: It should end after this.
        """
        text = self._text
        for pattern, fill in _KINDS:
            earliest = max(after, start + int((end - start) * fill))
            # A boundary may begin just before the window and may run past its end.
            for match in reversed(list(pattern.finditer(text, max(start, earliest - 2), end))):
                if earliest < match.end() and not splits(text, start, match.end()):
                    return int(match.end())
        return grapheme_start(text, start, end)

    def fence(self, position: int) -> tuple[int, int] | None:
        """Beginning and end of the fenced code that a cut at `position` would split."""
        number = bisect_right(self._fences, position, key=lambda span: span[0]) - 1
        if number < 0:
            return None
        start, end = self._fences[number]
        return (start, end) if start < position < end else None

    def before_heading(self, start: int, position: int) -> int:
        """`position`, or the beginning of the headings it would leave behind at the end of a piece."""
        match = _HEADING.search(self._text, max(start, position - _LONGEST_HEADING), position)
        return position if match is None or _VISIBLE.search(self._text, position) is None else int(match.start())

    def words(self, start: int, end: int) -> Iterator[int]:
        """The positions between words, from `start` on."""
        known = start
        for match in _WORD.finditer(self._text, start, end):
            # Checked from the last border on, so that a long run of flags or accents is read only once.
            if match.end() > known and not splits(self._text, known, match.end()):
                known = match.end()
                yield known


def splits(text: str, start: int, position: int) -> bool:
    """Whether a cut at `position` would split what a reader sees as one character."""
    return may_split(text, position) and grapheme_start(text, start, position) != position


def may_split(text: str, position: int) -> bool:
    """Whether a cut may split a visible character, by the two characters around it alone: False is certain."""
    if not 0 < position < len(text):
        return False
    before, behind = text[position - 1], text[position]
    if before < "\u0300" and behind < "\u0300":
        return before == "\r" and behind == "\n"
    return (
        unicodedata.category(behind)[0] == "M"
        or behind in "\u200c\u200d\uff9e\uff9f"
        or before == "\u200d"
        or "\U0001f1e6" <= behind <= "\U0001f1ff"
        or "\U0001f3fb" <= behind <= "\U0001f3ff"
        or "\U000e0020" <= behind <= "\U000e007f"
        or "\u1100" <= behind <= "\u11ff"
        or "\ud7b0" <= behind <= "\ud7fb"
        # A virama joins the consonants around it.
        or unicodedata.combining(before) == 9
        or (before > "\u05ff" and _PREPENDED.match(before) is not None)
    )


def grapheme_start(text: str, start: int, position: int) -> int:
    """The last border between visible characters at or before `position`; `start` is one."""
    if position <= start or position >= len(text):
        return max(start, min(position, len(text)))
    if not may_split(text, position):
        return position
    origin = max(start, position - _NEAR)
    while origin > start and may_split(text, origin):
        origin -= 1
    # A slice: in a run of flags the pattern would look back to the beginning of the text each time.
    for match in _GRAPHEME.finditer(text[origin : position + _NEAR]):
        if origin + match.end() >= position:
            return origin + int(match.end() if origin + match.end() == position else match.start())
    return origin


def grapheme_end(text: str, start: int) -> int:
    """The end of the visible character that begins at `start`."""
    length = _NEAR
    while True:
        match = _GRAPHEME.match(text[start : start + length])
        end = start + match.end() if match else start
        if end < start + length or end >= len(text):
            return int(end)
        length *= 4
