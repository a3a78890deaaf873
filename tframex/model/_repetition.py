"""Noticing that an answer goes round in circles."""

from __future__ import annotations

__all__ = ["RepetitionGuard"]

# A unit is looked for at the end of the text, so only this much of it need be kept.
_WINDOW = 4096
_SHORTEST = 24


class RepetitionGuard:
    """Watches a growing text for the same passage over and over.

    A loop is `repeats` copies of one passage in a row at the end of the text, at least 24 characters each, or so many
    copies of a shorter one that they fill as much. Tables, lists and code repeat their beginnings, not whole passages, and
    pass. Checking costs less than a microsecond for each piece: the text is only searched when it has grown by a good deal.

    Args:
        repeats: How many copies make a loop.
    """

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._tail = ""
        self._length = 0
        self._next = _SHORTEST * repeats

    def feed(self, piece: str) -> int | None:
        """Take the next piece in.

        Returns:
            Where the second copy begins, in characters from the beginning of the text, if it is a loop; else None.
        """
        self._tail += piece
        self._length += len(piece)
        if self._length < self._next:
            return None
        tail = self._tail = self._tail[-_WINDOW:]
        self._next = self._length + _SHORTEST
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
        probe = tail[-_SHORTEST:]
        position = len(tail) - _SHORTEST
        while (position := tail.rfind(probe, 0, position + _SHORTEST - 1)) >= 0:
            period = len(tail) - _SHORTEST - position
            copies = max(self._repeats, -(-_SHORTEST * self._repeats // period))
            length = period * copies
            if length > len(tail):
                return None
            if tail[-length:-period] == tail[period - length :]:
                return period
        return None
