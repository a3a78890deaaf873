"""What a streamed token costs the client's process when the server writes each one as it is made, as real ones do."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass

from tests.benchmarks._paced import serve
from tests.benchmarks.clients import ASYNC, BARE, OFFICIAL, OFFICIAL_SYNC, SYNC, Measured, measure, shown
from tests.benchmarks.table import Table

__all__ = ["run"]

PACE, ROUNDS = 0.02, 3
STREAMS, TOKENS = 200, 500
THREADS, THREAD_TOKENS = 16, 200
# The synchronous forms, each beside its asynchronous twin.
TWINS = {
    "tframex.OpenAI": "tframex.AsyncOpenAI",
    "tframex.OpenAI, interval=0.05": "tframex.AsyncOpenAI, interval=0.05",
    "sync.VLLMModel.call_stream": "VLLMModel.call_stream",
    "sync.VLLMModel.call_stream, interval=0.05": "VLLMModel.call_stream, interval=0.05",
    "sync.VLLMModel.call": "VLLMModel.call",
}


@dataclass
class Rounds:
    """What was measured, one after the other, for each client."""

    measured: dict[str, list[Measured]]
    lags: list[float]
    cores: list[float]

    def ratio(self, name: str, other: str) -> float:
        """The median of the ratios within a round: the speed of a shared machine changes from second to second."""
        pairs = zip(self.measured[name], self.measured[other], strict=True)
        return statistics.median(mine.cpu / theirs.cpu for mine, theirs in pairs)

    def us(self, name: str) -> str:
        """Microseconds of CPU for each token."""
        return f"{statistics.median(one.us for one in self.measured[name]):.1f}"

    def core(self, name: str) -> str:
        """CPU over time."""
        return f"{statistics.median(one.cpu / one.wall for one in self.measured[name]):.2f}"

    def wall(self, name: str, tokens: int) -> str:
        """Seconds over those that the server needs."""
        return f"{statistics.median(one.wall for one in self.measured[name]) / (tokens * PACE):.2f}"

    @property
    def server(self) -> str:
        """How the server did."""
        return (
            f"The server used {statistics.median(self.cores):.2f} of the other core (at most {max(self.cores):.2f}), "
            f"and its last events were late by {statistics.median(self.lags) * 1000:.1f} ms (at most "
            f"{max(self.lags) * 1000:.0f})."
        )


def measured(names: list[str], streams: int, tokens: int) -> Rounds:
    """Measure all, several times, in another order each time."""
    found = Rounds({name: [] for name in names}, [], [])
    with serve(PACE) as server:
        for number in range(ROUNDS):
            for name in random.Random(number).sample(names, len(names)):
                server.load()
                found.measured[name].append(measure(name, server.url, streams, tokens))
                load = server.load()
                found.lags += load.lag
                found.cores.append(load.cpu / found.measured[name][-1].wall)
    return found


def streams() -> Table:
    """Streams that tasks of one event loop read."""
    found = measured([*ASYNC], STREAMS, TOKENS)
    rows = [
        [shown(name), found.us(name), f"{found.ratio(OFFICIAL, name):.1f}", f"{found.ratio(name, BARE):.2f}"]
        for name in ASYNC
    ]
    for row, name in zip(rows, ASYNC, strict=True):
        row += [found.core(name), found.wall(name, TOKENS)]
    cheaper = {f"{name} cheaper": found.ratio(OFFICIAL, name) for name in ASYNC}
    return Table(
        "CPU of a streamed token",
        f"The real pattern: the server writes one event at a time, {1 / PACE:.0f} a second to each of {STREAMS} "
        f"streams of {TOKENS} tokens, evenly spread. Medians of {ROUNDS} rounds. *official / this*: times cheaper "
        "than the official client; *core*: CPU over time; *seconds / ideal*: 1 is the server's own pace. A client "
        "that needs nearly a complete core falls behind and reads several tokens at a time, so each costs it less "
        f"than it would with fewer streams: the official client's figure here is a low one. {found.server}",
        ["client", "CPU us", "official / this", "this / bare", "core", "seconds / ideal"],
        rows,
        plot=1,
        facts=cheaper,
    )


def threads() -> Table:
    """Streams that threads read, and as many that tasks read."""
    names = [*SYNC, *(name for name in ASYNC if name in TWINS.values())]
    found = measured(names, THREADS, THREAD_TOKENS)
    return Table(
        "CPU of a streamed token in synchronous code",
        f"The same pattern in {THREADS} threads, which is more like a synchronous program than {STREAMS}: {THREADS} "
        f"streams of {THREAD_TOKENS} tokens with one client object, CPU of the complete process. A token costs more "
        "than above since fewer arrive at the same moment, so the asynchronous twin was measured with as many "
        f"streams. *this / twin*: over the same call in asynchronous code. Medians of {ROUNDS} rounds. {found.server}",
        ["client", "CPU us", "official / this", "this / twin"],
        [
            [
                shown(name),
                found.us(name),
                f"{found.ratio(OFFICIAL_SYNC, name):.1f}",
                f"{found.ratio(name, TWINS[name]):.2f}" if name in TWINS else "",
            ]
            for name in names
        ],
        facts={f"{name} cheaper": found.ratio(OFFICIAL_SYNC, name) for name in SYNC},
    )


def run() -> list[Table]:
    """Both."""
    return [streams(), threads()]
