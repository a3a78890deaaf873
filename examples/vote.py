"""Self-consistency: ask several times concurrently, take what most answers say, and stop when that is settled."""

from __future__ import annotations

import re

from _setup import get_sync_model

from tframex.sync import MultiCallSystem

QUESTION = (
    "A ferry takes 12 cars. Each car carries 3 people, and 7 people come on foot. How many people are on board? "
    "Think briefly, and end with the number alone."
)


def number(text: str) -> str | None:
    """What an answer says: its last number, or None if it has none, so that it does not count."""
    found = re.findall(r"\d+", text)
    return found[-1] if found else None


def main() -> None:
    """Vote, and show the counts behind it."""
    with get_sync_model() as model:
        vote = MultiCallSystem("vote", model).vote(QUESTION, 8, key=number, temperature=0.8, max_tokens=80)
    print(f"{vote.answer}, after {sum(vote.counts.values())} of at most 8 answers: {vote.counts}")
    print(f"{sum(sample.cancelled for sample in vote.samples)} calls were cancelled, as they were no longer needed")


if __name__ == "__main__":
    main()
