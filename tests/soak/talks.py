"""Random conversations with an endpoint that enforces its window: is any request of theirs refused?"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.soak.windows import TOKENIZERS, text_of
from tframex.agents import BasicAgent, Conversation
from tframex.errors import ContextLengthError
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM

__all__ = ["Talks", "soak_talks"]

SERVERS: tuple[Any, ...] = ("vllm", "llama.cpp", "openai")


@dataclass
class Talks:
    """What a soak has seen."""

    turns: int = 0
    requests: int = 0
    refused: int = 0
    too_long: int = 0
    condensed: int = 0
    counting: int = 0

    def __str__(self) -> str:
        return (
            f"{self.turns} turns, {self.requests} requests of which {self.refused} refused, {self.too_long} prompts longer "
            f"than the window, {self.condensed} turns condensed, {self.counting / max(1, self.turns):.2f} requests for "
            "counts in a turn"
        )


def _answer(body: Mapping[str, Any]) -> str:
    seed = random.Random(zlib.crc32(str(body["messages"]).encode()))
    return text_of(seed, seed.choice([10, 100, 100, 400]))


async def _once(random_: random.Random, figures: Talks, dialect: Any, turns: int) -> None:
    tokenizer = random_.choice(list(TOKENIZERS))
    least = 4000 if tokenizer in ("bytes", "characters") else 800
    window = random_.randint(least, 2 * least)
    with FakeVLLM(_answer, dialect=dialect, context_window=window, tokenize=TOKENIZERS[tokenizer]) as server:
        known = window if dialect == "openai" else None
        async with VLLMModel("fake", server.url, "k", context_window=known, max_retries=0) as model:
            conversation = Conversation(BasicAgent("soak", model, system_prompt=random_.choice([None, "Be brief."])))
            for _ in range(turns):
                prompt = text_of(random_, random_.choice([20, 60, 200, window // 3]))
                try:
                    await conversation.say(prompt, max_tokens=random_.choice([window // 10, window // 4]))
                except ContextLengthError:
                    # An endpoint that does not count: an estimate may be too high.
                    assert dialect == "openai" or len(TOKENIZERS[tokenizer](prompt)) > window * 3 // 4
                    figures.too_long += 1
            figures.condensed += conversation.condensed
        figures.turns += turns
        figures.requests += len(server.completions())
        figures.refused += sum(record.tokens == 0 for record in server.completions())
        figures.counting += len(server.requests) - len(server.completions())


def soak_talks(runs: int, *, seed: int = 1, dialect: Any = None, turns: int = 40) -> Talks:
    """Hold `runs` random conversations.

    Args:
        runs: How many.
        seed: Makes them reproducible.
        dialect: The endpoint; None takes them in turn.
        turns: How many turns each of them has.
    """
    figures = Talks()
    for number in range(runs):
        random_ = random.Random(seed * 1_000_003 + number)
        asyncio.run(_once(random_, figures, dialect or SERVERS[number % len(SERVERS)], turns))
    return figures
