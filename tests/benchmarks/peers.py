"""What a streamed token costs with other clients, each in its own environment, all driven alike."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from tests.benchmarks._paced import serve
from tests.benchmarks.table import Table, keep
from tests.conformance.clients import CLIENTS, Running

__all__ = ["main"]

PACE, STREAMS, TOKENS, ROUNDS = 0.02, 32, 200, 3
_REFERENCE = "`VLLMModel.call_stream`"


def main() -> None:
    """Measure all in turn, several times; print the table and keep it for the page."""
    running = {client.name: Running(client) for client in CLIENTS}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    try:
        with serve(PACE) as server:
            for _ in range(ROUNDS):
                for name, client in list(running.items()):
                    try:
                        result = client.ask({"url": server.url, "streams": STREAMS, "tokens": TOKENS}, 300)
                    except Exception as exc:
                        result = None
                        print(f"{name}: {exc}", file=sys.stderr)
                    if result is None:
                        print(f"{name} is left out: it does not answer", file=sys.stderr)
                        running.pop(name).stop()
                        found.pop(name)
                    else:
                        found[name].append(result)
                        # Some keep connections of an event loop that has ended: each round has its own process.
                        client.stop()
        versions: dict[str, str] = {}
        for client in running.values():
            versions.update({k: v for k, v in client.about["versions"].items() if k not in versions})
        table = _table(found, running)
    finally:
        for client in running.values():
            client.stop()
    print(table)
    keep("peers", [table], versions)


def _table(found: dict[str, list[dict[str, Any]]], running: dict[str, Running]) -> Table:
    tokens = STREAMS * TOKENS

    def ratio(name: str) -> float:
        # Of measurements of the same round.
        pairs = zip(found[name], found[_REFERENCE], strict=True)
        return statistics.median(float(theirs["cpu"] / ours["cpu"]) for theirs, ours in pairs)

    return Table(
        "A streamed token with other clients",
        f"The server writes one event at a time, {1 / PACE:.0f} a second to each of {STREAMS} streams of {TOKENS} "
        "tokens, with one client object, in tasks where it is asynchronous and in threads where it is not; medians "
        f"of {ROUNDS} rounds. *seconds / ideal*: 1 is the server's own pace. Import: from the start of the process's "
        "own code. Memory: the most it had.",
        ["client", "CPU us", f"times {_REFERENCE}", "seconds / ideal", "import s", "memory MiB"],
        [
            [
                name,
                f"{statistics.median(one['cpu'] for one in results) / tokens * 1e6:.1f}",
                f"{ratio(name):.1f}",
                f"{statistics.median(one['wall'] for one in results) / (TOKENS * PACE):.2f}",
                f"{running[name].about['import']:.2f}",
                f"{max(one['megabytes'] for one in results):.0f}",
            ]
            for name, results in found.items()
        ],
        plot=1,
    )


if __name__ == "__main__":
    main()
