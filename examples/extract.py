"""Typed answers: facts out of a text, shown as they come, and a schema that every answer keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from _setup import get_sync_model
from pydantic import BaseModel, Field

from tframex.errors import OutputValidationError
from tframex.sync import ContextAgent

CONTEXT = Path(__file__).with_name("context.txt").read_text(encoding="utf-8")


class Fact(BaseModel):
    """One thing that the text says."""

    about: Literal["time", "place", "person", "thing"]
    statement: str = Field(description="one short sentence", max_length=120)


class Facts(BaseModel):
    """What a text says."""

    title: str = Field(description="a heading for the text", max_length=60)
    facts: list[Fact] = Field(min_length=1, max_length=4)


def main() -> None:
    """Print each fact when it is complete, then the title."""
    shown = 0
    with get_sync_model() as model:
        agent = ContextAgent("extract", model, CONTEXT)
        try:
            for facts in agent.stream("What are the facts?", output_type=Facts, max_tokens=400):
                found = facts.facts if isinstance(facts, Facts) else facts.get("facts", [])
                for fact in found[shown:]:
                    print(f"{fact.about}: {fact.statement}")
                shown = len(found)
        except OutputValidationError as error:
            # A small model may not get there; what is wrong with its answer is known.
            print("no answer of this type:", *error.errors, sep="\n- ")
            return
    print(f"{shown} facts about {facts.title!r}")


if __name__ == "__main__":
    main()
