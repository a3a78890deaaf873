"""A conversation in a process that is killed: `python -m tests.killed_conversation PATH URL`.

It says one prompt after the other, and prints each number when its answer has been returned.
"""

from __future__ import annotations

import sys

from tframex.sync import BasicAgent, Conversation, VLLMModel

__all__ = ["main"]


def main(path: str, url: str) -> None:
    with VLLMModel("fake", url, "k") as model, Conversation(BasicAgent("a", model), path) as conversation:
        for number in range(len(conversation.turns) + 1, 10_000):
            conversation.say(f"number {number} please", max_tokens=60)
            print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
