"""A conversation that is saved and continued: run it again, and it remembers what was said."""

from __future__ import annotations

import sys

from _setup import OUTPUTS, get_sync_model

from tframex.sync import BasicAgent, Conversation

INSTRUCTIONS = "You are a guide to a small harbour. Answer in one sentence."


def main() -> None:
    """Answer prompts until an empty line, or what was given on the command line."""
    path = OUTPUTS / "chat.jsonl"
    with get_sync_model() as model:
        agent = BasicAgent("guide", model, system_prompt=INSTRUCTIONS)
        with Conversation(agent, path) as talk:
            for turn in talk.turns:
                print(f"> {turn[0]['content']}\n{turn[-1]['content']}\n")
            for prompt in sys.argv[1:] or iter(lambda: input("> "), ""):
                for piece in talk.stream(prompt, interval=0.05):
                    print(piece, end="", flush=True)
                print("\n")
            print(f"{len(talk.turns)} turns in {path}")


if __name__ == "__main__":
    main()
