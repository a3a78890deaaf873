"""What a turn of an agent costs the client's process: a call, the tool, the answer."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import tframex
from tests.benchmarks._server import serve
from tests.benchmarks.clients import MESSAGES, Bare
from tests.benchmarks.table import Table

__all__ = ["run"]

TURNS, AT_ONCE, TOKENS, ROUNDS = 400, 32, 20, 5
QUESTION = MESSAGES[0]["content"]


async def weather(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain, 12 degrees"


def weather_in_a_thread(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain, 12 degrees"


WEATHER = tframex.Tool(weather).definition()


async def _concurrently(one: Callable[[], Awaitable[None]], turns: int) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def placed() -> None:
        async with places:
            await one()

    await asyncio.gather(*(placed() for _ in range(turns)))


async def bare(url: str, turns: int) -> None:
    """Aiohttp that decodes nothing: two answers."""
    client = Bare(url)

    async def one() -> None:
        await client.read(TOKENS)
        await client.read(TOKENS)

    await _concurrently(one, turns)
    await client.close()


async def loop_of_calls(url: str, turns: int) -> None:
    """A model in a loop written by hand, which checks nothing."""
    async with tframex.VLLMModel("smol", url, "k") as model:

        async def one() -> None:
            messages: list[Any] = list(MESSAGES)
            answer = await model.call(messages, tools=[WEATHER], max_tokens=TOKENS)
            [call] = answer.tool_calls
            function = {"name": call.name, "arguments": call.arguments}
            messages.append(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": call.id, "type": "function", "function": function}],
                }
            )
            result = await weather(**json.loads(call.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            assert (await model.call(messages, tools=[WEATHER], max_tokens=TOKENS)).text

        await _concurrently(one, turns)


async def agent(url: str, turns: int) -> None:
    """An agent with an asynchronous tool."""
    await _agent(url, turns, weather)


async def agent_with_threads(url: str, turns: int) -> None:
    """An agent with a synchronous tool, which runs in a thread."""
    await _agent(url, turns, tframex.Tool(weather_in_a_thread, name="weather"))


async def _agent(url: str, turns: int, tool: Any) -> None:
    async with tframex.VLLMModel("smol", url, "k") as model:
        clerk = tframex.ToolAgent("clerk", model, [tool])

        async def one() -> None:
            assert len(await clerk.run(QUESTION, max_tokens=TOKENS)) > TOKENS

        await _concurrently(one, turns)


CLIENTS: dict[str, Callable[[str, int], Awaitable[None]]] = {
    "bare aiohttp, two answers, reading bytes": bare,
    "`VLLMModel.call` in a loop by hand": loop_of_calls,
    "`ToolAgent.run`": agent,
    "`ToolAgent.run`, tool in a thread": agent_with_threads,
}


def measure(name: str, url: str) -> float:
    """CPU milliseconds for each turn, without what it costs to make the client."""

    async def spent(turns: int) -> float:
        gc.collect()
        cpu = time.process_time()
        await CLIENTS[name](url, turns)
        return time.process_time() - cpu

    async def main() -> float:
        await spent(AT_ONCE)
        few = await spent(AT_ONCE)
        return (await spent(AT_ONCE + TURNS) - few) / TURNS * 1000

    return asyncio.run(main())


def run() -> list[Table]:
    """Measure all in turn."""
    found: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with serve() as url:
        for _ in range(ROUNDS):
            for name in CLIENTS:
                found[name].append(measure(name, url))
    hand = found["`VLLMModel.call` in a loop by hand"]
    return [
        Table(
            "CPU of an agent's turn",
            f"{TURNS} turns, {AT_ONCE} in flight; medians of {ROUNDS} rounds. A turn is a call of a tool, the tool, and "
            f"an answer of {TOKENS} tokens: two requests. The loop by hand checks no arguments and counts nothing.",
            ["client", "CPU ms", "this / by hand"],
            [
                [
                    name,
                    f"{statistics.median(values):.2f}",
                    f"{statistics.median(mine / theirs for mine, theirs in zip(values, hand, strict=True)):.2f}",
                ]
                for name, values in found.items()
            ],
        )
    ]
