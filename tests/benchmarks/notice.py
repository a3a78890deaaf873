"""How long it takes to notice that an answer has ended, that it broke off, and that it is not wanted any more."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import tframex
from tests.benchmarks._paced import PacedServer, serve
from tests.benchmarks.clients import ASYNC, INTERVAL, MESSAGES
from tests.benchmarks.table import Table
from tframex.errors import StreamInterruptedError

__all__ = ["run"]

PACE, STREAMS, TOKENS = 0.02, 20, 300
Read = Callable[..., Coroutine[Any, Any, None]]


async def _call(model: tframex.VLLMModel, **options: Any) -> None:
    await model.call(MESSAGES, **options)


async def _stream(model: tframex.VLLMModel, **options: Any) -> None:
    async for _ in model.call_stream(MESSAGES, **options):
        pass


READS: dict[str, tuple[Read, dict[str, Any]]] = {
    "`VLLMModel.call_stream`": (_stream, {}),
    "`VLLMModel.call_stream`, `interval=0.05`": (_stream, INTERVAL),
    "`VLLMModel.call`": (_call, {}),
}


async def _times(model: tframex.VLLMModel, read: Read, options: dict[str, Any], pace: float) -> dict[str, float]:
    """When this process knew of each stream's end, or cancelled it, on the clock that the server has too."""
    known: dict[str, float] = {}
    seeded = random.Random(1)

    async def one(number: str, **more: Any) -> None:
        with suppress(StreamInterruptedError):
            await read(model, max_tokens=TOKENS, user=number, **options, **more)
        known[number] = time.monotonic()

    async def cancelled(number: str) -> None:
        task = asyncio.ensure_future(one(number))
        await asyncio.sleep(seeded.uniform(0.2, 0.9) * TOKENS * pace)
        known[number] = time.monotonic()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    waits = [seeded.uniform(0, pace * 5) for _ in range(STREAMS)]
    every: list[Coroutine[Any, Any, None]] = []
    for number, wait in enumerate(waits):
        cut = seeded.randint(TOKENS // 5, TOKENS - 1)
        every += [
            _after(wait, one(f"end {number}")),
            _after(wait, one(f"cut {number}", seed=cut, resume="never", max_retries=0)),
            _after(wait, cancelled(f"cancel {number}")),
        ]
    await asyncio.gather(*every)
    return known


async def _after(seconds: float, what: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(seconds)
    await what


def measured(server: PacedServer, read: Read, options: dict[str, Any], pace: float) -> dict[str, list[float]]:
    """Milliseconds between the two processes' moments, for each kind."""

    async def main() -> dict[str, float]:
        async with tframex.VLLMModel("smol", server.url, "k") as model:
            return await _times(model, read, options, pace)

    server.load()
    known = asyncio.run(main())
    load = server.load()
    found: dict[str, list[float]] = {"end": [], "cut": [], "cancel": []}
    for number, moment in known.items():
        kind = number.split()[0]
        if kind == "cancel" and number not in load.closed:
            continue  # It had ended: the machine was too busy.
        apart = load.closed[number] - moment if kind == "cancel" else moment - load.ended[number]
        found[kind].append(apart * 1000)
    return found


def run() -> list[Table]:
    """A row for each way to read."""
    rows = []
    with serve(PACE) as server:
        for name, (read, options) in READS.items():
            if options and not any("interval" in known for known in ASYNC):
                continue
            found = measured(server, read, options, PACE)
            figures = [
                f"{statistics.median(found[kind]):.1f} / {max(found[kind]):.0f}" for kind in ("end", "cut", "cancel")
            ]
            rows.append([name, *figures])
    return [
        Table(
            "Time to notice",
            f"Milliseconds, median / most of {STREAMS} streams of {1 / PACE:.0f} tokens/s: from the server's last "
            f"bytes of an answer of {TOKENS * PACE:.0f} s to the end of the call; from the moment it cuts a "
            "connection, at a random place, to the error; from the cancellation of a call to the moment the server "
            "sees its connection closed. All are in flight concurrently.",
            ["client", "end, ms", "cut, ms", "cancel, ms"],
            rows,
        )
    ]
