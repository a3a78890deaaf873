"""What a token of a typed answer costs, by how long the answer is."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable

import openai
from pydantic import BaseModel

import tframex
from tests.benchmarks._server import BURST
from tests.benchmarks._typed_server import document, serve
from tests.benchmarks.clients import MESSAGES, shown
from tests.benchmarks.table import Table
from tframex import sync
from tframex.model import Output
from tframex.model._output_growth import OutputGrowth

__all__ = ["LENGTHS", "WAYS", "measure", "run"]

LENGTHS, ROUNDS, TOKENS = (300, 2000, 8000), 3, 24_000
PROMPT = str(MESSAGES[0]["content"])
OFFICIAL = "openai.AsyncOpenAI, chat.completions.stream"
GROWTH = "growing values alone"


class Part(BaseModel):
    """A row of the answer."""

    name: str
    count: int
    note: str


class Parts(BaseModel):
    """The answer."""

    rows: list[Part]
    title: str


async def official(url: str, tokens: int, answers: int) -> None:
    """The official client's stream with a type, each event read."""
    async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:
        for _ in range(answers):
            asked = client.chat.completions.stream(
                model="smol", messages=MESSAGES, max_tokens=tokens, response_format=Parts
            )
            async with asked as stream:
                async for _event in stream:
                    pass
                found = (await stream.get_final_completion()).choices[0].message.parsed
            assert found == Parts.model_validate_json(document(tokens - 1))


async def streamed(url: str, tokens: int, answers: int) -> None:
    """Every growing value, and the last."""
    async with tframex.VLLMModel("smol", url, "k", tokens) as model:
        agent = tframex.BasicAgent("a", model)
        for _ in range(answers):
            *_parts, found = [found async for found in agent.stream(PROMPT, output_type=Parts)]
            assert found == Parts.model_validate_json(document(tokens - 1))


async def text(url: str, tokens: int, answers: int) -> None:
    """The same stream as text."""
    async with tframex.VLLMModel("smol", url, "k", tokens) as model:
        agent = tframex.BasicAgent("a", model)
        for _ in range(answers):
            assert "".join([piece async for piece in agent.stream(PROMPT)]) == document(tokens - 1)


async def complete(url: str, tokens: int, answers: int) -> None:
    """The value alone."""
    async with tframex.VLLMModel("smol", url, "k", tokens) as model:
        agent = tframex.BasicAgent("a", model)
        for _ in range(answers):
            found = await agent.run(PROMPT, output_type=Parts)
            assert found == Parts.model_validate_json(document(tokens - 1))


async def synchronous(url: str, tokens: int, answers: int) -> None:
    """As `streamed`, without `await`."""

    def read() -> None:
        with sync.VLLMModel("smol", url, "k", tokens) as model:
            agent = sync.BasicAgent("a", model)
            for _ in range(answers):
                *_parts, found = agent.stream(PROMPT, output_type=Parts)
                assert found == Parts.model_validate_json(document(tokens - 1))

    await asyncio.to_thread(read)


WAYS: dict[str, Callable[[str, int, int], Awaitable[None]]] = {
    OFFICIAL: official,
    "stream(output_type=...)": streamed,
    "tframex.sync, stream(output_type=...)": synchronous,
    "run(output_type=...)": complete,
    "stream(...), as text": text,
}


def measure(way: Callable[[str, int, int], Awaitable[None]], url: str, tokens: int, answers: int) -> float:
    """CPU of this process for a token, in us."""

    async def timed() -> float:
        await way(url, tokens, 1)
        begun = time.process_time()
        await way(url, tokens, answers)
        return (time.process_time() - begun) * 1e6 / (tokens * answers)

    gc.collect()
    return asyncio.run(timed())


def growth(tokens: int, answers: int) -> float:
    """CPU for a token, in us, where a value is made at each of them."""
    text = document(tokens - 1)
    pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
    begun = time.process_time()
    for _ in range(answers):
        growing = OutputGrowth(Output.of(Parts), items=True)
        for piece in pieces:
            growing.feed(piece)
            growing.news()
    return (time.process_time() - begun) * 1e6 / (tokens * answers)


def run() -> list[Table]:
    """One table, all in turn."""
    cases = [(name, tokens) for tokens in LENGTHS for name in (*WAYS, GROWTH)]
    found: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    with serve() as url:
        for _ in range(ROUNDS):
            for name, tokens in cases:
                answers = max(1, TOKENS // tokens)
                way = WAYS.get(name)
                cost = growth(tokens, answers) if way is None else measure(way, url, tokens, answers)
                found[name, tokens].append(cost)
    return [
        Table(
            "Typed answers: CPU of a streamed token",
            "A JSON document with a list of objects, read as a pydantic model, by the number of its tokens; a stream gives "
            f"a growing value whenever something has arrived. {BURST} events arrive at a time. *Growing values* alone are "
            f"what it costs to make one at every token. Medians of {ROUNDS} rounds, us.",
            ["client", *(f"{tokens:,} tokens" for tokens in LENGTHS)],
            [[shown(name), *(f"{statistics.median(found[name, tokens]):.1f}" for tokens in LENGTHS)] for name in WAYS],
        )
    ]


if __name__ == "__main__":
    for table in run():
        print(table)
