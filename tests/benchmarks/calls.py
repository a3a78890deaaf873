"""What a short call costs the client's process when there are many of them, and which part of it is whose."""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import httpx2
import openai

import tframex
from tests.benchmarks._server import serve
from tests.benchmarks.clients import MESSAGES, Bare, model_call
from tests.benchmarks.table import Table
from tframex.exchange import ChatRequest
from tframex.exchange._clock import read_clock
from tframex.exchange._piece_body import body_of
from tframex.exchange.transport import make_async_client, transport_timeout
from tframex.systems import MultiCallSystem

__all__ = ["run"]

CALLS, AT_ONCE, TOKENS, ROUNDS = 500, 32, 20, 5
OFFICIAL = "`openai.AsyncOpenAI`, decoding"


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


async def _concurrently(one: Callable[[], Awaitable[None]], calls: int) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def placed() -> None:
        async with places:
            await one()

    await asyncio.gather(*(placed() for _ in range(calls)))


async def bare(url: str, calls: int) -> None:
    """Aiohttp that decodes nothing."""
    client = Bare(url)
    await _concurrently(lambda: client.read(TOKENS), calls)
    await client.close()


async def posted(url: str, calls: int) -> None:
    """Our requests and our transport, through the official client; nothing is decoded."""
    async with make_async_client(base_url=url, api_key="k", timeout=transport_timeout(5.0)) as client:
        await _concurrently(lambda: _read(client), calls)


async def posted_officially(url: str, calls: int) -> None:
    """The same requests as the official client makes and sends them."""
    async with openai.AsyncOpenAI(base_url=url, api_key="k", http_client=openai.DefaultAioHttpClient()) as client:
        await _concurrently(lambda: _read_raw(client), calls)


async def _post(client: openai.AsyncOpenAI) -> httpx2.Response:
    request = ChatRequest.build("smol", MESSAGES, {"max_tokens": TOKENS, "stream_options": {"include_usage": True}})
    response: httpx2.Response = await client.post(cast_to=httpx2.Response, **request.keywords())
    return response


async def _read_raw(client: openai.AsyncOpenAI) -> None:
    async for _ in (await _post(client)).aiter_raw():
        pass


async def _read(client: openai.AsyncOpenAI) -> None:
    async with body_of(await _post(client), read_clock()) as body:
        data: bytes | None = None
        while data != b"":
            if (waiting := body.arrival(math.inf)) is not None:
                await waiting
            data = body.take()


async def called(url: str, calls: int) -> None:
    """A model."""
    async with tframex.VLLMModel("smol", url, "k") as model:
        await _concurrently(lambda: model_call(model, TOKENS), calls)


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
    "bare aiohttp, reading bytes": bare,
    "`post` of `openai.AsyncOpenAI` on aiohttp, reading bytes": posted_officially,
    "the same with our requests and transport": posted,
    "`VLLMModel.call`": called,
    "`MultiCallSystem`, 32 in flight": fixed,
    "`MultiCallSystem`, auto": auto,
    OFFICIAL: official,
}


def measure(name: str, url: str) -> float:
    """CPU milliseconds for each call; making the client is left out, which takes as long as a hundred calls."""

    async def spent(calls: int) -> float:
        gc.collect()
        cpu = time.process_time()
        await CLIENTS[name](url, calls)
        return time.process_time() - cpu

    async def main() -> float:
        await spent(AT_ONCE)
        few = await spent(AT_ONCE)
        return (await spent(AT_ONCE + CALLS) - few) / CALLS * 1000

    return asyncio.run(main())


def run() -> list[Table]:
    """Measure all in turn."""
    found: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with serve() as url:
        for _ in range(ROUNDS):
            for name in CLIENTS:
                found[name].append(measure(name, url))

    def ratio(name: str, other: str) -> float:
        return statistics.median(mine / theirs for mine, theirs in zip(found[name], found[other], strict=True))

    return [
        Table(
            "CPU of a short call",
            f"{CALLS} calls of {TOKENS} tokens, {AT_ONCE} in flight; medians of {ROUNDS} rounds. What is in a "
            "`VLLMModel.call`: the first row is aiohttp; the third, less the first, is the official client, which "
            "makes the headers of each request, prepares it and looks at the response, and cannot be left out; the "
            "rest is the answer itself: decoding, time limits, evidence, usage. The second row is what the official "
            "client costs with requests built from nothing.",
            ["client", "CPU ms", "share of `call`", "official / this"],
            [
                [
                    name,
                    f"{statistics.median(values):.2f}",
                    f"{ratio(name, '`VLLMModel.call`'):.0%}",
                    f"{ratio(OFFICIAL, name):.1f}",
                ]
                for name, values in found.items()
            ],
        )
    ]
