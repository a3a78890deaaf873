"""What a streamed token costs on a loop of uvloop, beside one of asyncio."""

from __future__ import annotations

import random
import statistics
from importlib.util import find_spec

from tests.benchmarks._paced import serve
from tests.benchmarks.clients import ASYNC, BARE, measure, shown
from tests.benchmarks.table import Table

__all__ = ["run"]

PACE, STREAMS, TOKENS, ROUNDS = 0.02, 100, 150, 3
NAMES = [BARE, "VLLMModel.call_stream", "VLLMModel.call_stream, interval=0.05", "VLLMModel.call"]


def run() -> list[Table]:
    """A row for each client; nothing where uvloop is not installed."""
    names = [name for name in NAMES if name in ASYNC]
    if find_spec("uvloop") is None:
        return []
    found: dict[tuple[str, bool], list[float]] = {(name, fast): [] for name in names for fast in (False, True)}
    with serve(PACE) as server:
        for number in range(ROUNDS):
            for name, fast in random.Random(number).sample([*found], len(found)):
                found[name, fast].append(measure(name, server.url, STREAMS, TOKENS, fast=fast).us)
    rows = []
    for name in names:
        mine, theirs = found[name, True], found[name, False]
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        figures = [f"{statistics.median(theirs):.1f}", f"{statistics.median(mine):.1f}", f"{ratio:.2f}"]
        rows.append([shown(name), *figures])
    return [
        Table(
            "CPU of a streamed token with uvloop",
            f"The same program run by `uvloop.run` instead of `asyncio.run`: {STREAMS} streams of {1 / PACE:.0f} tokens/s, "
            f"one event a write, {TOKENS} tokens each; medians of {ROUNDS} rounds. It shortens the turns of the event "
            "loop, not what is done in them, so it saves most where each token has a turn of its own.",
            ["client", "asyncio, us", "uvloop, us", "uvloop / asyncio"],
            rows,
        )
    ]
