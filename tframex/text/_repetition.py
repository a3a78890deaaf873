"""Noticing that an answer repeats itself without end."""

from __future__ import annotations

__all__ = ["RepetitionGuard"]

# The longest passage that is recognised.
_LONGEST = 2048
# The text is searched for its last 24 characters, each time it has grown by as many.
_PROBE = 24
# Copies must fill this many characters: rows of a matrix, table lines and banners are repeated a few times on purpose.
_LEAST = 400


class RepetitionGuard:
    """Watches a growing text for one passage that is repeated again and again.

    A loop is `repeats` copies of one passage in a row at the end of the text, or as many as fill 400 characters if that is
    more. Passages without a letter or digit (rules, banners) do not count, nor do those over 2,048 characters. Tables,
    lists and code repeat their beginnings, not complete passages, and are not loops. Checking costs less than a microsecond
    for each piece: the text is only searched each time it has grown by 24 characters.

    Args:
        repeats: How many copies make a loop.
    """

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._tail = ""
        self._length = 0
        self._window = _LONGEST * repeats
        self._next = _LEAST

    def feed(self, piece: str) -> int | None:
        """Take in the next piece.

        Returns:
            Where the second copy begins, in characters from the beginning of the text, if there is a loop; else None.
        """
        self._tail += piece
        self._length += len(piece)
        if self._length < self._next:
            return None
        tail = self._tail = self._tail[-self._window :]
        self._next = self._length + _PROBE
        period = self._period(tail)
        if period is None:
            return None
        start = len(tail) - period
        while start > 0 and tail[start - 1] == tail[start - 1 + period]:
            start -= 1
        return self._length - len(tail) + start + period

    def _period(self, tail: str) -> int | None:
        """The length of the passage whose copies end the text, or None."""
        # The last characters must also appear one period earlier: each place where they appear is a candidate.
        probe = tail[-_PROBE:]
        position = len(tail) - _PROBE
        while (position := tail.rfind(probe, 0, position + _PROBE - 1)) >= 0:
            period = len(tail) - _PROBE - position
            length = period * max(self._repeats, -(-_LEAST // period))
            if length > len(tail):
                return None
            if tail[-length:-period] == tail[period - length :]:
                passage = tail[-period:]
                return period if any(letter.isalnum() for letter in passage) else None
        return None
