"""Token counts up to any position of a text, each part counted once."""

from __future__ import annotations

from bisect import bisect_right

from tframex.text._boundaries import grapheme_start
from tframex.tokens import TokenCounter

__all__ = ["Tally"]

# Characters counted in one step: many, which costs hardly more than counting all of the text in one step; and few near the
# position that is looked for, so that little is counted again when it is found.
_LONG = 2048
_SHORT = 192
# Tokens before the limit of a chunk where its end is looked for.
_MARGIN = 200
# Characters to look for a position where counts add up.
_NEAR = 512


class Tally:
    """Token counts up to any position of a text; each part is counted once, and only when it is needed.

    Counts add up exactly where a text is cut before a space or after a newline (at the borders of the tokenizer's own
    pattern), if the counter is `additive`. Elsewhere the sum is a good estimate, mostly too high by a token.

    Args:
        text: The text.
        counter: Counts its pieces.
    """

    def __init__(self, text: str, counter: TokenCounter) -> None:
        self._text = text
        self._count = counter.count
        self._additive = bool(getattr(counter, "additive", False))
        self._ends = [0]
        self._sums = [0]
        self._rough: list[int] = []
        """Ends that are not borders of tokens."""
        self._last = (0, 0)
        """The last border that was asked for, and its count: the next one is often close to it."""

    def until(self, position: int) -> int:
        """Tokens before `position`."""
        known, tokens = self._last
        if known <= position < known + _SHORT:
            return tokens + (self._count(self._text[known:position]) if position > known else 0)
        while self._ends[-1] < position:
            self._advance(position - self._ends[-1])
        number = bisect_right(self._ends, position) - 1
        start = self._ends[number]
        return self._sums[number] + (self._count(self._text[start:position]) if position > start else 0)

    def reach(self, tokens: int) -> int:
        """About the furthest position that has at most `tokens` tokens before it."""
        text = self._text
        while self._sums[-1] <= tokens and self._ends[-1] < len(text):
            # Most of the way, going by the text so far.
            left = tokens - self._sums[-1] - _MARGIN
            self._advance(left * self._ends[-1] // self._sums[-1] if self._sums[-1] else left)
        if self._sums[-1] <= tokens:
            return len(text)
        number = bisect_right(self._sums, tokens) - 1
        start, end = self._ends[number], self._ends[number + 1]
        share = (tokens - self._sums[number]) / (self._sums[number + 1] - self._sums[number])
        return start + int((end - start) * share)

    def between(self, start: int, end: int) -> int:
        """Tokens of the piece from `start` to `end`, as the counter counts it."""
        count, text = self._count, self._text
        first, last = self._border_from(start, end), self._border_to(end, start)
        if not self._additive or first > last or self._is_rough(first, last):
            return count(text[start:end])
        # Only the edges are counted again: the first and last words of the piece have other neighbours in the text.
        before = self._until_border(first)
        edges = (count(text[start:first]) if start < first else 0) + (count(text[last:end]) if last < end else 0)
        return edges + self._until_border(last) - before

    def _until_border(self, position: int) -> int:
        if self._is_rough(self._last[0], position):
            self._last = (0, 0)
        self._last = (position, self.until(position))
        return self._last[1]

    def _is_rough(self, start: int, end: int) -> bool:
        number = bisect_right(self._rough, start)
        return number < len(self._rough) and self._rough[number] < end

    def _border_from(self, position: int, limit: int) -> int:
        """The next position where counts add up; a number above `limit` if there is none near."""
        for border in range(position, min(limit, position + _NEAR) + 1):
            if self._is_border(border):
                return border
        return limit + 1

    def _border_to(self, position: int, limit: int) -> int:
        """The last position, at or before this one, where counts add up; -1 if there is none near."""
        for border in range(position, max(limit, position - _NEAR) - 1, -1):
            if self._is_border(border):
                return border
        return -1

    def _is_border(self, position: int) -> bool:
        text = self._text
        if position == 0 or position == len(text):
            return True
        before, behind = text[position - 1], text[position]
        return (behind == " " and not before.isspace()) or (before == "\n" and not behind.isspace())

    def _advance(self, length: int) -> None:
        """Count the next part of the text: about `length` characters, or as many as are counted in one step."""
        text, start = self._text, self._ends[-1]
        end = start + min(max(_SHORT, length), _LONG)
        if end >= len(text):
            end = len(text)
        else:
            limit = end + _NEAR
            space = text.find(" ", end, limit)
            while space >= 0 and text[space - 1].isspace():
                space = text.find(" ", space + 1, limit)
            if space >= 0:
                end = space
            else:
                end = max(start + 1, grapheme_start(text, start, end))
                if not self._is_border(end):
                    self._rough.append(end)
        self._ends.append(end)
        self._sums.append(self._sums[-1] + self._count(text[start:end]))
