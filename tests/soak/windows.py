"""Random texts, limits and tokenizers against an endpoint that enforces its window: is any request refused?"""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, LongTextResult, MapReduceSystem
from tframex.testing import FakeVLLM
from tframex.testing._vocabulary import split_words

__all__ = ["Figures", "soak"]

_SENTENCE = "the sea was calm that day and nobody spoke of ships or harbours except for one old keeper who wrote it"
WORDS = _SENTENCE.split(" ")


def _bytes(text: str) -> list[str]:
    return [piece for letter in text for piece in (letter, *[""] * (len(letter.encode()) - 1))]


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "words and digits": split_words,
    "pieces of 4": re.compile(r"\s?[^\W\d_]{1,4}|\s?\d|\s?[^\w\s]|\s+|_|.", re.DOTALL).findall,
    "characters": list,
    "bytes": _bytes,
}


def _prose(random_: random.Random) -> str:
    sentence = " ".join(random_.choices(WORDS, k=random_.randint(5, 20)))
    return sentence.capitalize() + random_.choice([". ", ". ", "! ", ".\n", ".\n\n"])


PIECES: dict[str, Callable[[random.Random], str]] = {
    "prose": _prose,
    "Chinese": lambda r: "".join(r.choices("海静夜船灯人書昔今朝風雨雪花月", k=r.randint(5, 40))) + "。",
    "JSON": lambda r: (
        f'{{"id": {r.randint(0, 10**6)}, "name": "{r.choice(WORDS)}", "on": [1, 2, {r.randint(0, 99)}]}}\n'
    ),
    "digits": lambda r: f"{r.randint(0, 10**12)} ",
    "code": lambda r: f"def {r.choice(WORDS)}_{r.randint(0, 9)}(x):\n    return x + {r.randint(0, 999)}\n\n",
    "emoji": lambda r: r.choice(["\U0001f469\U0001f3fd‍\U0001f680", "\U0001f1eb\U0001f1f7", "\U0001f600"]) + " ",
    "unbroken": lambda r: "x" * r.randint(10, 200),
}


def text_of(random_: random.Random, length: int) -> str:
    """A text of about that many characters, of one kind or of several."""
    kinds = random_.choices(list(PIECES), k=random_.randint(1, 3))
    pieces: list[str] = []
    size = 0
    while size < length:
        pieces.append(PIECES[random_.choice(kinds)](random_))
        size += len(pieces[-1])
    return "".join(pieces)


@dataclass
class Figures:
    """What a soak has seen."""

    runs: int = 0
    steps: int = 0
    requests: int = 0
    refused: int = 0
    over: int = 0
    counting: int = 0
    uses: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        use = sum(self.uses) / len(self.uses) if self.uses else 0.0
        return (
            f"{self.runs} runs, {self.steps} steps, {self.requests} requests of which {self.refused} refused and "
            f"{self.over} over the window with the answer, "
            f"{self.counting / max(1, self.steps):.2f} counting requests a step; of the window {use:.1%} used on average "
            f"by the {len(self.uses)} requests that had text enough, {min(self.uses, default=0.0):.1%} at least"
        )


def _answer(body: Mapping[str, Any]) -> str:
    seed = random.Random(zlib.crc32(str(body["messages"]).encode()))
    return " ".join(seed.choices(WORDS, k=seed.randint(1, 120)))


async def _once(random_: random.Random, figures: Figures, dialect: Literal["vllm", "llama.cpp", "openai"]) -> None:
    tokenizer = random_.choice(list(TOKENIZERS))
    window = random_.randint(1500, 6000) if tokenizer in ("bytes", "characters") else random_.randint(600, 4000)
    text = text_of(random_, random_.randint(200, 12 * window))
    max_tokens = random_.randint(20, window // 10)
    size = random_.choice([None, None, random_.randint(50, 500)])
    settings: dict[str, Any] = {"max_notes": random_.randint(15, window // 12)}
    kind = random_.choice([ChainOfAgents, MapReduceSystem])
    with FakeVLLM(_answer, dialect=dialect, context_window=window, tokenize=TOKENIZERS[tokenizer]) as server:
        known = window if dialect == "openai" else None
        async with VLLMModel("fake", server.url, "k", context_window=known, max_retries=0) as model:
            result = await kind("soak", model, size, **settings).complete("What happened?", text, max_tokens=max_tokens)
        _note(figures, result, server, size, window)
        figures.kinds[f"{kind.__name__}, {tokenizer}"] += 1


def _note(figures: Figures, result: LongTextResult, server: FakeVLLM, size: int | None, window: int) -> None:
    figures.runs += 1
    figures.steps += len(result.steps)
    figures.requests += len(server.completions())
    figures.refused += sum(record.tokens == 0 for record in server.completions())
    figures.counting += result.counting_requests
    read = [step for step in result.steps if step.kind == "chunk"]
    last = max((step.end for step in read), default=0)
    if size is None:
        # The last part is what was left.
        figures.uses += [(step.prompt_tokens + step.max_tokens) / window for step in read if step.end < last]
    figures.over += sum(step.prompt_tokens + step.max_tokens > window for step in result.steps)


def soak(runs: int, *, seed: int = 1, dialect: Literal["vllm", "llama.cpp", "openai"] | None = None) -> Figures:
    """Run `runs` random jobs.

    Args:
        runs: How many.
        seed: Makes them reproducible.
        dialect: The endpoint; None takes vLLM and llama.cpp in turn, which both count.
    """
    figures = Figures()
    for number in range(runs):
        random_ = random.Random(seed * 1_000_003 + number)
        asyncio.run(_once(random_, figures, dialect or ("vllm", "llama.cpp")[number % 2]))
    return figures
