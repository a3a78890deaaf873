"""The clients that are measured, all driven alike, and how they are measured."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import openai

import tframex
from tframex import sync

__all__ = [
    "ASYNC",
    "BARE",
    "INTERVAL",
    "MESSAGES",
    "OFFICIAL",
    "OFFICIAL_SYNC",
    "SYNC",
    "Bare",
    "Measured",
    "measure",
    "model_call",
    "shown",
]

MESSAGES: Any = [{"role": "user", "content": "Name three colours."}]
BODY = {"model": "smol", "messages": MESSAGES, "stream": True}
BARE = "bare aiohttp, reading bytes"
OFFICIAL, OFFICIAL_SYNC = "openai.AsyncOpenAI", "openai.OpenAI"
INTERVAL: dict[str, Any] = {"interval": 0.05}


def _characters(tokens: int) -> int:
    """The length of the server's answer."""
    return 7 * (tokens - 1) + 4


# -- asynchronous: one coroutine reads one stream ----------------------------------------------------------------------


class Bare:
    """aiohttp that decodes nothing."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.close = self._session.close

    async def read(self, tokens: int) -> None:
        async with self._session.post(self._url, json={**BODY, "max_tokens": tokens}) as response:
            async for data in response.content.iter_any():
                assert data


async def official(client: openai.AsyncOpenAI, tokens: int) -> None:
    stream = await client.chat.completions.create(
        model="smol", messages=MESSAGES, max_tokens=tokens, stream=True, stream_options={"include_usage": True}
    )
    characters = 0
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            characters += len(chunk.choices[0].delta.content)
    assert characters == _characters(tokens)


async def model_stream(model: tframex.VLLMModel, tokens: int, **options: Any) -> None:
    characters = 0
    async for piece in model.call_stream(MESSAGES, max_tokens=tokens, **options):
        characters += len(piece)
    assert characters == _characters(tokens)


async def model_call(model: tframex.VLLMModel, tokens: int) -> None:
    assert len((await model.call(MESSAGES, max_tokens=tokens)).text) == _characters(tokens)


def _model(url: str) -> tframex.VLLMModel:
    return tframex.VLLMModel("smol", url, "k")


def _official(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="k")


def _drop_in(url: str, **options: Any) -> tframex.AsyncOpenAI:
    return tframex.AsyncOpenAI(base_url=url, api_key="k", **options)


ASYNC: dict[str, tuple[Callable[[str], Any], Callable[[Any, int], Awaitable[None]]]] = {
    BARE: (Bare, Bare.read),
    OFFICIAL: (_official, official),
    "tframex.AsyncOpenAI": (_drop_in, official),
    "tframex.AsyncOpenAI, interval=0.05": (partial(_drop_in, **INTERVAL), official),
    "VLLMModel.call_stream": (_model, model_stream),
    "VLLMModel.call_stream, interval=0.05": (_model, partial(model_stream, **INTERVAL)),
    "VLLMModel.call": (_model, model_call),
}

# -- synchronous: one thread reads one stream --------------------------------------------------------------------------


def official_sync(client: openai.OpenAI, tokens: int) -> None:
    stream = client.chat.completions.create(
        model="smol", messages=MESSAGES, max_tokens=tokens, stream=True, stream_options={"include_usage": True}
    )
    chunks = (chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert sum(map(len, chunks)) == _characters(tokens)


def model_sync(model: sync.VLLMModel, tokens: int, **options: Any) -> None:
    assert sum(map(len, model.call_stream(MESSAGES, max_tokens=tokens, **options))) == _characters(tokens)


def model_call_sync(model: sync.VLLMModel, tokens: int) -> None:
    assert len(model.call(MESSAGES, max_tokens=tokens).text) == _characters(tokens)


def _model_sync(url: str) -> sync.VLLMModel:
    return sync.VLLMModel("smol", url, "k")


def _official_sync(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="k")


def _drop_in_sync(url: str, **options: Any) -> tframex.OpenAI:
    return tframex.OpenAI(base_url=url, api_key="k", **options)


SYNC: dict[str, tuple[Callable[[str], Any], Callable[[Any, int], None]]] = {
    OFFICIAL_SYNC: (_official_sync, official_sync),
    "tframex.OpenAI": (_drop_in_sync, official_sync),
    "tframex.OpenAI, interval=0.05": (partial(_drop_in_sync, **INTERVAL), official_sync),
    "sync.VLLMModel.call_stream": (_model_sync, model_sync),
    "sync.VLLMModel.call_stream, interval=0.05": (_model_sync, partial(model_sync, **INTERVAL)),
    "sync.VLLMModel.call": (_model_sync, model_call_sync),
}

if "interval" not in inspect.signature(tframex.AsyncOpenAI.__init__).parameters:
    for clients in (ASYNC, SYNC):
        for name in [name for name in clients if "interval" in name]:
            clients.pop(name)


@dataclass(frozen=True)
class Measured:
    """What some streams took.

    Attributes:
        cpu: Seconds of CPU of this process.
        wall: Seconds until the last one had ended.
        tokens: Of all of them.
    """

    cpu: float
    wall: float
    tokens: int

    @property
    def us(self) -> float:
        """Microseconds of CPU for each token."""
        return self.cpu / self.tokens * 1e6


def measure(name: str, url: str, streams: int, tokens: int, *, at_once: bool = True, fast: bool = False) -> Measured:
    """Read streams with one client object, after a short one that opens what is opened once.

    Args:
        name: Which client.
        url: The server's API.
        streams: How many streams.
        tokens: Of each stream.
        at_once: Synchronous code reads them in as many threads; otherwise one after the other.
        fast: Asynchronous code runs on a loop of uvloop.
    """
    gc.collect()
    if name in ASYNC:
        measuring = _measure_async(name, url, streams, tokens)
        if fast:
            import uvloop

            found: Measured = uvloop.run(measuring)
            return found
        return asyncio.run(measuring)
    make, read = SYNC[name]
    client = make(url)
    try:
        read(client, 5)
        with ThreadPoolExecutor(streams if at_once else 1) as threads:
            cpu, wall = time.process_time(), time.perf_counter()
            list(threads.map(lambda _: read(client, tokens), range(streams)))
            return Measured(time.process_time() - cpu, time.perf_counter() - wall, streams * tokens)
    finally:
        (getattr(client, "close_client", None) or client.close)()


async def _measure_async(name: str, url: str, streams: int, tokens: int) -> Measured:
    make, read = ASYNC[name]
    client = make(url)
    try:
        await read(client, 5)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(read(client, tokens) for _ in range(streams)))
        return Measured(time.process_time() - cpu, time.perf_counter() - wall, streams * tokens)
    finally:
        await (getattr(client, "close_client", None) or client.close)()


def shown(name: str) -> str:
    """A client's name in a table; it can be broken before its option."""
    return ", ".join(f"`{part}`" for part in name.split(", ")) if "." in name else name
