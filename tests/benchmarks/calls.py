"""What a call costs the client's process when there are many of them."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import openai

import tframex
from tests.benchmarks._server import serve
from tests.benchmarks.clients import MESSAGES
from tests.benchmarks.table import Table
from tframex.systems import MultiCallSystem

__all__ = ["run"]

CALLS, AT_ONCE, TOKENS, ROUNDS = 500, 32, 20, 5


async def official(url: str, calls: int) -> None:
    """The official client, a semaphore around each call."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(client: openai.AsyncOpenAI) -> str:
        async with places:
            stream = await client.chat.completions.create(
                model="smol", messages=MESSAGES, max_tokens=TOKENS, stream=True, stream_options={"include_usage": True}
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:
        texts = await asyncio.gather(*(one(client) for _ in range(calls)))
    assert all(len(text) > TOKENS for text in texts)


async def fixed(url: str, calls: int) -> None:
    """`MultiCallSystem` with the same number in flight."""
    await _sample(url, calls, AT_ONCE)


async def auto(url: str, calls: int) -> None:
    """`MultiCallSystem` that finds the number out."""
    await _sample(url, calls, "auto")


async def _sample(url: str, calls: int, at_once: int | Literal["auto"]) -> None:
    async with tframex.VLLMModel("smol", url, "k") as model:
        system = MultiCallSystem("bench", model, max_concurrency=at_once)
        samples = await system.sample(MESSAGES[0]["content"], calls, max_tokens=TOKENS)
    assert all(len(text) > TOKENS for text in samples.texts)
    assert len(samples.texts) == calls


CLIENTS: dict[str, Callable[[str, int], Awaitable[None]]] = {
    "openai.AsyncOpenAI, semaphore": official,
    "MultiCallSystem, 32 in flight": fixed,
    "MultiCallSystem, auto": auto,
}


def measure(name: str, url: str) -> float:
    """CPU milliseconds for each call."""

    async def main() -> float:
        await CLIENTS[name](url, AT_ONCE)
        gc.collect()
        cpu = time.process_time()
        await CLIENTS[name](url, CALLS)
        return (time.process_time() - cpu) / CALLS * 1000

    return asyncio.run(main())


def run() -> list[Table]:
    """Measure all in turn."""
    found: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with serve() as url:
        for _ in range(ROUNDS):
            for name in CLIENTS:
                found[name].append(measure(name, url))
    reference = found["openai.AsyncOpenAI, semaphore"]
    return [
        Table(
            "CPU of a short call",
            f"{CALLS} calls of {TOKENS} tokens, {AT_ONCE} in flight; medians of {ROUNDS} rounds.",
            ["client", "CPU ms", "official / this"],
            [
                [
                    name,
                    f"{statistics.median(values):.2f}",
                    f"{statistics.median(theirs / mine for theirs, mine in zip(reference, values, strict=True)):.1f}",
                ]
                for name, values in found.items()
            ],
        )
    ]
