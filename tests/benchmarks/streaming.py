"""What a streamed token costs the client's process."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
import psutil

import tframex
from tests.benchmarks._server import BURST, serve
from tests.benchmarks.table import Table
from tframex import sync

__all__ = ["run"]

STREAMS, TOKENS, ROUNDS = 32, 500, 11
BARE = "bare aiohttp, reading bytes"
MESSAGES: Any = [{"role": "user", "content": "Name three colours."}]
BODY = {"model": "smol", "messages": MESSAGES, "max_tokens": TOKENS, "stream": True}

# -- asynchronous: one coroutine reads one stream ----------------------------------------------------------------------


async def bare_aiohttp(session: aiohttp.ClientSession, url: str, tokens: int) -> None:
    async with session.post(f"{url}/chat/completions", json={**BODY, "max_tokens": tokens}) as response:
        async for data in response.content.iter_any():
            assert data


async def official(client: openai.AsyncOpenAI, url: str, tokens: int) -> None:
    stream = await client.chat.completions.create(
        model="smol", messages=MESSAGES, max_tokens=tokens, stream=True, stream_options={"include_usage": True}
    )
    pieces = 0
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            pieces += 1
    assert pieces == tokens


async def model_stream(model: tframex.VLLMModel, url: str, tokens: int) -> None:
    pieces = 0
    async for _ in model.call_stream(MESSAGES, max_tokens=tokens):
        pieces += 1
    assert pieces == tokens


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


ASYNC: dict[str, tuple[Callable[[str], Any], Callable[[Any, str, int], Awaitable[None]]]] = {
    BARE: (lambda _: _session(), bare_aiohttp),
    "openai.AsyncOpenAI": (lambda url: openai.AsyncOpenAI(base_url=url, api_key="k"), official),
    "tframex.AsyncOpenAI": (lambda url: tframex.AsyncOpenAI(base_url=url, api_key="k"), official),
    "VLLMModel.call_stream": (lambda url: tframex.VLLMModel("smol", url, "k"), model_stream),
}


def measure_async(name: str, url: str, streams: int, tokens: int) -> tuple[float, float]:
    """CPU microseconds for each token, and the wall time of all in seconds."""

    async def main() -> tuple[float, float]:
        make, read = ASYNC[name]
        client = make(url)
        try:
            await read(client, url, tokens)
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.gather(*(read(client, url, tokens) for _ in range(streams)))
            spent = time.process_time() - cpu
            return spent / streams / tokens * 1e6, time.perf_counter() - wall
        finally:
            close = getattr(client, "close_client", None) or client.close
            await close()

    gc.collect()
    return asyncio.run(main())


# -- synchronous: one stream after the other ---------------------------------------------------------------------------


def official_sync(client: openai.OpenAI, tokens: int) -> None:
    stream = client.chat.completions.create(
        model="smol", messages=MESSAGES, max_tokens=tokens, stream=True, stream_options={"include_usage": True}
    )
    assert sum(1 for chunk in stream if chunk.choices and chunk.choices[0].delta.content) == tokens


def model_sync(model: sync.VLLMModel, tokens: int) -> None:
    assert sum(1 for _ in model.call_stream(MESSAGES, max_tokens=tokens)) == tokens


SYNC: dict[str, tuple[Callable[[str], Any], Callable[[Any, int], None]]] = {
    "openai.OpenAI": (lambda url: openai.OpenAI(base_url=url, api_key="k"), official_sync),
    "tframex.OpenAI": (lambda url: tframex.OpenAI(base_url=url, api_key="k"), official_sync),
    "sync.VLLMModel.call_stream": (lambda url: sync.VLLMModel("smol", url, "k"), model_sync),
}


def measure_sync(name: str, url: str, streams: int, tokens: int) -> tuple[float, float]:
    """As `measure_async`."""
    make, read = SYNC[name]
    client = make(url)
    read(client, tokens)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(streams):
        read(client, tokens)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    (getattr(client, "close_client", None) or client.close)()
    return spent[0] / streams / tokens * 1e6, spent[1]


# -- the tables --------------------------------------------------------------------------------------------------------


def cost() -> Table:
    """CPU for each token, everything in turn and the medians of several rounds."""
    with serve() as url:
        found: dict[str, list[float]] = {name: [] for name in (*ASYNC, *SYNC)}
        for _ in range(ROUNDS):
            for name in ASYNC:
                found[name].append(measure_async(name, url, STREAMS, TOKENS)[0])
            for name in SYNC:
                found[name].append(measure_sync(name, url, STREAMS, TOKENS)[0])

    def ratio(name: str, other: str) -> float:
        # Of measurements of the same round: the speed of a shared machine changes from second to second.
        return statistics.median(mine / theirs for mine, theirs in zip(found[name], found[other], strict=True))

    def cheaper(name: str) -> float:
        return ratio("openai.OpenAI" if name in SYNC else "openai.AsyncOpenAI", name)

    return Table(
        "CPU of a streamed token",
        f"{STREAMS} streams of {TOKENS} tokens, concurrently in asynchronous code and one after the other in synchronous "
        f"code; medians of {ROUNDS} rounds. The server writes {BURST} events at a time, each in its own HTTP chunk. "
        "*official / this*: times cheaper than the official client of the same colour.",
        ["client", "CPU us", "official / this", "this / bare"],
        [
            [
                f"`{name}`" if "." in name else name,
                f"{statistics.median(values):.1f}",
                f"{cheaper(name):.1f}",
                f"{ratio(name, BARE):.2f}",
            ]
            for name, values in found.items()
        ],
        plot=1,
        facts={
            "cheaper": cheaper("VLLMModel.call_stream"),
            "drop-in cheaper": cheaper("tframex.AsyncOpenAI"),
            "sync cheaper": cheaper("sync.VLLMModel.call_stream"),
        },
    )


def many(streams: int = 500, tokens: int = 100, pace: float = 0.02) -> Table:
    """Many streams at the pace of a real server: does one core keep up?"""
    names = (BARE, "VLLMModel.call_stream", "tframex.AsyncOpenAI", "openai.AsyncOpenAI")
    with serve(pace) as url:
        walls = {name: measure_async(name, url, streams, tokens)[1] for name in names}
    return Table(
        f"{streams} concurrent streams",
        f"{streams} streams of {1 / pace:.0f} tokens/s, {tokens} tokens each, in one process: the time to the last end.",
        ["client", "seconds", "this / bare"],
        [[f"`{n}`" if "." in n else n, f"{wall:.2f}", f"{wall / walls[BARE]:.2f}"] for n, wall in walls.items()],
        plot=1,
        facts={
            "many": walls["VLLMModel.call_stream"] / walls[BARE],
            "many official": walls["openai.AsyncOpenAI"] / walls[BARE],
        },
    )


def memory(streams: int = 1000, tokens: int = 60, pace: float = 0.2) -> Table:
    """Memory while many streams are open."""

    async def main(url: str) -> list[float]:
        process = psutil.Process()
        async with tframex.VLLMModel("smol", url, "k") as model:
            await model_stream(model, url, 2)
            before = process.memory_info().rss
            reading = asyncio.gather(*(model_stream(model, url, tokens) for _ in range(streams)))
            samples = []
            for _ in range(4):
                await asyncio.sleep(tokens * pace / 5)
                samples.append((process.memory_info().rss - before) / 2**20)
            await reading
        return samples

    with serve(pace) as url:
        samples = asyncio.run(main(url))
    return Table(
        f"Memory of {streams} open streams",
        "How much the process has grown since one stream, at four moments.",
        ["client", *(f"MiB, {moment}" for moment in ("1st", "2nd", "3rd", "4th"))],
        [["`VLLMModel.call_stream`", *(f"{size:.1f}" for size in samples)]],
    )


def run() -> list[Table]:
    """Measure all three."""
    return [cost(), many(), memory()]
