"""Noticing that an answer goes round in circles."""

from __future__ import annotations

__all__ = ["RepetitionGuard"]

# The longest passage that is recognised.
_LONGEST = 2048
# How often, in characters, and with how many of the last ones the text is searched.
_PROBE = 24
# Copies must fill this much: rows of a matrix, table lines and banners are said a few times on purpose.
_LEAST = 400


class RepetitionGuard:
    """Watches a growing text for the same passage over and over.

    A loop is `repeats` copies of one passage in a row at the end of the text, or as many as fill 400 characters if that is
    more. Passages without a letter or digit (rules, banners) do not count, nor do those over 2,048 characters. Tables,
    lists and code repeat their beginnings, not whole passages, and pass. Checking costs less than a microsecond for each
    piece: the text is only searched when it has grown by a good deal.

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
        """Take the next piece in.

        Returns:
            Where the second copy begins, in characters from the beginning of the text, if it is a loop; else None.
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
        """The length of the passage that the text ends in copies of."""
        # The last characters must have stood one period earlier; the candidates are where they stand.
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
