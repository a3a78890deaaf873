"""Random tools, results and windows against an endpoint that enforces its window: is any request of an agent refused?"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.soak.windows import TOKENIZERS, WORDS, text_of
from tframex.agents import ToolAgent
from tframex.model import VLLMModel
from tframex.testing import Answer, FakeVLLM

__all__ = ["Turns", "soak_turns"]

SERVERS: dict[str, dict[str, Any]] = {
    "vLLM": {},
    "vLLM without tool flags": {"parses_tools": False},
    "llama.cpp": {"dialect": "llama.cpp"},
    "OpenAI": {"dialect": "openai"},
}


@dataclass
class Turns:
    """What a soak has seen."""

    runs: int = 0
    requests: int = 0
    refused: int = 0
    shortened: int = 0
    counting: int = 0

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.requests} requests of which {self.refused} refused, {self.shortened} with shortened "
            f"or cut results; {self.counting / max(1, self.requests):.2f} counting requests a request"
        )


async def _once(random_: random.Random, figures: Turns, way: str) -> None:
    # Where nothing is counted beforehand, an estimate has to do, which is one for vocabularies as models have them.
    tokenizer = random_.choice(list(TOKENIZERS)[: 2 if way == "OpenAI" else None])
    least = 6000 if tokenizer in ("bytes", "characters") else 1500
    window = random_.randint(least, 2 * least)
    steps = random_.randint(2, 9)
    with FakeVLLM(
        _answers(random_, steps), **SERVERS[way], context_window=window, tokenize=TOKENIZERS[tokenizer]
    ) as server:
        known = window if way == "OpenAI" else None
        async with VLLMModel("fake", server.url, "k", context_window=known, max_retries=0) as model:

            def look_up(topic: str, more: str = "") -> str:
                """What is known of a topic."""
                return text_of(random_, random_.choice([50, window, 6 * window]))

            agent = ToolAgent("soak", model, [look_up])
            assert (await agent.run("What happened?", max_tokens=window // 6)).startswith("Nothing")
        figures.runs += 1
        completions = server.completions()
        if way == "vLLM without tool flags":
            # That it takes no tools has to be learned once.
            assert "tools" in completions[0].body
            completions = completions[1:]
        figures.requests += len(completions)
        figures.refused += sum(record.tokens == 0 for record in completions)
        figures.shortened += sum(
            "[Shortened" in str(record.body) or "[Cut" in str(record.body) for record in completions
        )
        figures.counting += len(server.requests) - len(server.completions())


def _answers(random_: random.Random, steps: int) -> Callable[[Mapping[str, Any]], Answer]:
    # Only requests that are not refused are answered.
    left = iter(range(steps))

    def answer(body: Mapping[str, Any]) -> Answer:
        if next(left, None) is None:
            return Answer("Nothing.")
        arguments = {"topic": random_.choice(WORDS), "more": text_of(random_, 10)[: random_.choice([5, 5, 40])]}
        return Answer(
            calls=[("look_up", {**arguments, "topic": f"{number}"}) for number in range(random_.choice([1, 1, 2]))]
        )

    return answer


def soak_turns(runs: int, *, seed: int = 1, way: str | None = None) -> Turns:
    """Run `runs` random agents.

    Args:
        runs: How many.
        seed: Makes them reproducible.
        way: The endpoint; None takes all in turn.
    """
    figures = Turns()
    for number in range(runs):
        random_ = random.Random(seed * 1_000_003 + number)
        asyncio.run(_once(random_, figures, way or list(SERVERS)[number % len(SERVERS)]))
    return figures
