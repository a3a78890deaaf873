"""What an event costs that is streamed by the Responses API or by `/v1/completions`, official client beside ours."""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

import tframex
from tests.benchmarks._paced import serve
from tests.benchmarks.clients import Measured, shown
from tests.benchmarks.table import Table

__all__ = ["run"]

PACE, ROUNDS = 0.02, 3
STREAMS, TOKENS = 100, 150
THREADS = 16
WAYS = {
    "responses": "responses.create(stream=True)",
    "helper": "responses.stream(...)",
    "completions": "completions.create(stream=True)",
}


def _characters(tokens: int) -> int:
    """The length of the server's answer."""
    return 7 * (tokens - 1) + 4


def _response(tokens: int) -> dict[str, Any]:
    return {
        "model": "smol",
        "input": "Name three colours.",
        "max_output_tokens": tokens,
        "extra_body": {"max_tokens": tokens},
    }


def _text(tokens: int) -> dict[str, Any]:
    return {"model": "smol", "prompt": "The three primary colours are", "max_tokens": tokens, "stream": True}


def _said(way: str, item: Any) -> int:
    if way == "completions":
        return len(item.choices[0].text) if item.choices else 0
    return len(item.delta) if item.type == "response.output_text.delta" else 0


async def read(client: Any, way: str, tokens: int) -> None:
    """Read one stream."""
    said = 0
    if way == "helper":
        async with client.responses.stream(**_response(tokens)) as stream:
            async for item in stream:
                said += _said(way, item)
    else:
        made = client.responses.create(stream=True, **_response(tokens)) if way == "responses" else None
        async for item in await (made or client.completions.create(**_text(tokens))):
            said += _said(way, item)
    assert said == _characters(tokens)


def read_sync(client: Any, way: str, tokens: int) -> None:
    """Read one stream."""
    said = 0
    if way == "helper":
        with client.responses.stream(**_response(tokens)) as stream:
            said = sum(_said(way, item) for item in stream)
    elif way == "responses":
        said = sum(_said(way, item) for item in client.responses.create(stream=True, **_response(tokens)))
    else:
        said = sum(_said(way, item) for item in client.completions.create(**_text(tokens)))
    assert said == _characters(tokens)


async def _measure(kind: Callable[..., Any], way: str, url: str) -> Measured:
    client = kind(base_url=url, api_key="k")
    try:
        await read(client, way, 5)
        cpu, wall = time.process_time(), time.perf_counter()
        reading: list[Awaitable[None]] = [read(client, way, TOKENS) for _ in range(STREAMS)]
        await asyncio.gather(*reading)
        return Measured(time.process_time() - cpu, time.perf_counter() - wall, STREAMS * TOKENS)
    finally:
        await client.close()


def measure(kind: Callable[..., Any], way: str, url: str) -> Measured:
    """Read streams with one client object: in tasks, or in threads if it is synchronous."""
    gc.collect()
    if "Async" in kind.__name__:
        return asyncio.run(_measure(kind, way, url))
    with kind(base_url=url, api_key="k") as client, ThreadPoolExecutor(THREADS) as threads:
        read_sync(client, way, 5)
        cpu, wall = time.process_time(), time.perf_counter()
        list(threads.map(lambda _: read_sync(client, way, TOKENS), range(THREADS)))
        return Measured(time.process_time() - cpu, time.perf_counter() - wall, THREADS * TOKENS)


KINDS: dict[str, tuple[Callable[..., Any], str]] = {
    "openai.AsyncOpenAI": (openai.AsyncOpenAI, "openai.AsyncOpenAI"),
    "tframex.AsyncOpenAI": (tframex.AsyncOpenAI, "openai.AsyncOpenAI"),
    "openai.OpenAI": (openai.OpenAI, "openai.OpenAI"),
    "tframex.OpenAI": (tframex.OpenAI, "openai.OpenAI"),
}


def run() -> list[Table]:
    """One table, all in turn."""
    cases = [(name, way) for way in WAYS for name in KINDS]
    found: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    with serve(PACE) as server:
        for number in range(ROUNDS):
            for name, way in random.Random(number).sample(cases, len(cases)):
                found[name, way].append(measure(KINDS[name][0], way, server.url).us)

    def cheaper(name: str, way: str) -> float:
        # Of measurements of the same round: the speed of a shared machine changes from second to second.
        pairs = zip(found[KINDS[name][1], way], found[name, way], strict=True)
        return statistics.median(theirs / mine for theirs, mine in pairs)

    return [
        Table(
            "CPU of an event of the other APIs",
            f"One event a write, {1 / PACE:.0f} a second to each stream of {TOKENS} tokens: {STREAMS} streams in tasks, "
            f"{THREADS} in threads for synchronous clients. Medians of {ROUNDS} rounds. *official / this*: times cheaper "
            "than the official client of the same colour. The helper `responses.stream` builds its own events out of "
            "those that it reads, with the official code in both.",
            ["call", "client", "CPU us", "official / this"],
            [
                [f"`{WAYS[way]}`", shown(name), f"{statistics.median(values):.1f}", f"{cheaper(name, way):.1f}"]
                for (name, way), values in found.items()
            ],
            facts={f"{way} cheaper": cheaper("tframex.AsyncOpenAI", way) for way in WAYS},
        )
    ]


if __name__ == "__main__":
    for table in run():
        print(table)
