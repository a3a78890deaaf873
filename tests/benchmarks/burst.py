"""What a streamed token costs the client's process when events come in bursts, as from a server that lags."""

from __future__ import annotations

import statistics

from tests.benchmarks._server import BURST, serve
from tests.benchmarks.clients import ASYNC, BARE, OFFICIAL, OFFICIAL_SYNC, SYNC, measure, shown
from tests.benchmarks.table import Table

__all__ = ["run"]

STREAMS, TOKENS, ROUNDS = 32, 500, 5


def run() -> list[Table]:
    """CPU for each token, everything in turn and the medians of several rounds."""
    names = [name for name in (*ASYNC, *SYNC) if "interval" not in name]
    found: dict[str, list[float]] = {name: [] for name in names}
    with serve() as url:
        for _ in range(ROUNDS):
            for name in names:
                found[name].append(measure(name, url, STREAMS, TOKENS, at_once=False).us)

    def ratio(name: str, other: str) -> float:
        # Of measurements of the same round: the speed of a shared machine changes from second to second.
        return statistics.median(mine / theirs for mine, theirs in zip(found[name], found[other], strict=True))

    return [
        Table(
            "In bursts: CPU of a streamed token",
            "Not what a server does that keeps up, but what arrives where a proxy or the kernel has collected: "
            f"{BURST} events at a time, each in an HTTP chunk of its own, as fast as they are taken. {STREAMS} "
            f"streams of {TOKENS} tokens, concurrently in asynchronous code and one after the other in synchronous "
            f"code; medians of {ROUNDS} rounds. *official / this*: times cheaper than the official client of the "
            "same colour.",
            ["client", "CPU us", "official / this", "this / bare"],
            [
                [
                    shown(name),
                    f"{statistics.median(values):.1f}",
                    f"{ratio(OFFICIAL_SYNC if name in SYNC else OFFICIAL, name):.1f}",
                    f"{ratio(name, BARE):.2f}",
                ]
                for name, values in found.items()
            ],
        )
    ]
