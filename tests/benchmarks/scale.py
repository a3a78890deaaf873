"""How many calls one process on one core keeps up with, and how much memory they take."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass

import psutil

from tests.benchmarks._paced import PacedServer, serve
from tests.benchmarks.clients import ASYNC, OFFICIAL, measure, shown
from tests.benchmarks.table import Table

__all__ = ["run"]

PACE = 0.02
PATTERNS = [
    ("VLLMModel.call", 1000, 500),
    ("VLLMModel.call", 2000, 500),
    ("VLLMModel.call_stream, interval=0.05", 1000, 500),
    ("VLLMModel.call_stream", 1000, 500),
    # What it takes is told by half of the tokens, and is half a minute. With 200 streams, it is in the first table.
    (OFFICIAL, 1000, 250),
]


@dataclass(frozen=True)
class Result:
    """What a process took.

    Attributes:
        cpu: Seconds of CPU.
        wall: Seconds until the last stream had ended.
        megabytes: By how much the process had grown at most.
    """

    cpu: float
    wall: float
    megabytes: float


def alone(name: str, url: str, streams: int, tokens: int) -> Result:
    """Measure in this process, which has done nothing before."""
    process, ended = psutil.Process(), threading.Event()
    measure(name, url, 1, 5)
    sizes = [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(0.5):
            sizes.append(process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    found = measure(name, url, streams, tokens)
    ended.set()
    watching.join()
    return Result(found.cpu, found.wall, (max(sizes) - sizes[0]) / 2**20)


def _in_a_process(name: str, server: PacedServer, streams: int, tokens: int) -> Result:
    command = [sys.executable, "-m", "tests.benchmarks.scale", name, server.url, str(streams), str(tokens)]
    return Result(**json.loads(subprocess.check_output(command)))


def run() -> list[Table]:
    """A row for each number of streams, in processes of their own."""
    rows: list[list[str]] = []
    facts: dict[str, float] = {}
    with serve(PACE) as server:
        for name, streams, tokens in PATTERNS:
            if name not in ASYNC:
                continue
            server.load()
            found = _in_a_process(name, server, streams, tokens)
            load = server.load()
            ideal = tokens * PACE
            rows.append(
                [
                    shown(name),
                    f"{streams:,}",
                    f"{streams / PACE:,.0f}",
                    f"{found.wall / ideal:.2f}",
                    f"{found.cpu / found.wall:.2f}",
                    f"{found.cpu / streams / tokens * 1e6:.1f}",
                    f"{found.megabytes:.0f}",
                    f"{load.cpu / found.wall:.2f}",
                    f"{max(load.lag) * 1000:.0f}",
                ]
            )
            facts[f"{name} {streams} wall"] = found.wall / ideal
            facts[f"{name} {streams} core"] = found.cpu / found.wall
    return [
        Table(
            "Scale: many calls on one core",
            f"Streams of {1 / PACE:.0f} tokens/s, one event a write, in one process that has one core at most, once "
            "each. *seconds / ideal*: the time from the first request to the last end, over that of one stream at "
            "the server's pace; it includes the sending of all requests. *core*: CPU over time. *MiB*: by how much "
            "the process had grown at most. *server*: the core that the load's own process used, and by how many "
            "milliseconds its last event was late: where that is much, the server is the limit and only the "
            "client's core counts.",
            [
                "client",
                "streams",
                "tokens/s",
                "seconds / ideal",
                "core",
                "us/token",
                "MiB",
                "server core",
                "server late ms",
            ],
            rows,
            facts=facts,
        )
    ]


if __name__ == "__main__":
    print(json.dumps(asdict(alone(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
