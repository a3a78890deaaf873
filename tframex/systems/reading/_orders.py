"""In which orders a text is read, and which of several answers most readings gave."""

from __future__ import annotations

import random
from collections import Counter

__all__ = ["most_common", "reading_orders"]


def reading_orders(count: int, paths: int, *, backward: bool) -> list[list[int]]:
    """The orders of `count` parts for `paths` readings: one direction, the other, then shuffled ones."""
    forward = list(range(count))
    first = forward[::-1] if backward else forward
    orders = [first, first[::-1]]
    while len(orders) < paths:
        # Seeded by the path: a run that is continued reads in the same orders.
        shuffled = list(forward)
        random.Random(len(orders)).shuffle(shuffled)  # noqa: S311 - not a secret
        orders.append(shuffled)
    return orders[:paths]


def most_common(answers: list[str]) -> int:
    """The number of the first answer among those that most paths gave, case, white space and a final stop aside."""
    normal = [" ".join(answer.casefold().split()).rstrip(".!") for answer in answers]
    return normal.index(Counter(normal).most_common(1)[0][0])
