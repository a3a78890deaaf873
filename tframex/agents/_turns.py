"""What was said in a conversation, and what of it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tframex._types import Message

__all__ = ["Turns"]

_SUMMARY = "Summary of our conversation so far:\n"
_READ = "I have read the summary, and continue from there."


class Turns:
    """The turns of a conversation, and the summaries of its oldest ones.

    What changes it is a record, a JSON object, so that a file of all records has the conversation:
    `{"turn": 3, "messages": [...]}`, `{"summary": "...", "turns": 2}` (of the first 2), `{"undone": 3}` and
    `{"cleared": true}`.
    """

    def __init__(self) -> None:
        self.all: list[list[Message]] = []
        self._summaries: list[tuple[int, str]] = []

    @property
    def condensed(self) -> int:
        """How many of the oldest turns are sent as a summary."""
        return self._summaries[-1][0] if self._summaries else 0

    @property
    def summary(self) -> str:
        """The summary of those; empty if there are none."""
        return self._summaries[-1][1] if self._summaries else ""

    @property
    def kept(self) -> list[list[Message]]:
        """The turns that are sent as they are."""
        return self.all[self.condensed :]

    def messages(self) -> list[Message]:
        """What is sent before the next prompt."""
        return [*written_summary(self.summary), *(message for turn in self.kept for message in turn)]

    def apply(self, record: Mapping[str, Any]) -> None:
        """Change it.

        Raises:
            ValueError: The record does not fit what was before it.
        """
        if "turn" in record:
            turn = record["messages"]
            if record["turn"] != len(self.all) + 1 or not _is_turn(turn):
                raise ValueError(f"it is not turn {len(self.all) + 1}")
            self.all.append(turn)
        elif "summary" in record:
            turns = record["turns"]
            if not isinstance(turns, int) or not self.condensed < turns <= len(self.all):
                raise ValueError("it is a summary of turns that there are not")
            self._summaries.append((turns, str(record["summary"])))
        elif "undone" in record:
            if record["undone"] != len(self.all) or not self.all:
                raise ValueError("it takes back a turn that is not the last")
            self.all.pop()
            # A summary that has the turn in it: the one before is used again.
            self._summaries = [found for found in self._summaries if found[0] <= len(self.all)]
        elif "cleared" in record:
            self.all.clear()
            self._summaries.clear()
        else:
            raise ValueError("it is no record of a conversation")


def written_summary(summary: str) -> list[Message]:
    """A summary as messages; none for an empty one. Chat templates refuse two messages of the user in a row."""
    if not summary:
        return []
    return [{"role": "user", "content": _SUMMARY + summary}, {"role": "assistant", "content": _READ}]


def _is_turn(messages: object) -> bool:
    if not isinstance(messages, list) or not messages:
        return False
    return all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages)
