"""Every client meets every fault: prints the matrix, and keeps it for the documentation (`make bench-peers`)."""

from __future__ import annotations

import sys
from typing import Any

from tests.benchmarks.table import Table, keep
from tests.conformance.clients import CLIENTS, Client, Running
from tests.conformance.faults import FAULTS, TEXT, Row, verdict
from tframex.testing import FakeVLLM

__all__ = ["main"]

# Every client is told to wait so long for anything; one that has not answered after the second number hangs.
_PATIENCE, _LIMIT = 2.0, 25.0
_CLEAN_END = next(number for number, row in enumerate(FAULTS) if row.name == "clean end in the middle")


def meet(running: Running, row: Row) -> str:
    """What becomes of one fault with one client."""
    with FakeVLLM(TEXT, faults=list(row.faults)) as server:
        found = running.ask({"url": server.url, "seconds": _PATIENCE}, _LIMIT)
    return "HUNG" if found is None else verdict(found["text"], found["error"], middle=row.middle)


def healthy(running: Running) -> bool:
    """Whether the client works at all when nothing goes wrong."""
    with FakeVLLM(TEXT) as server:
        return running.ask({"url": server.url, "seconds": _PATIENCE}, 60) == {"text": TEXT, "error": None}


def column(client: Client) -> tuple[list[str], dict[str, str]] | None:
    """All faults with one client, and the versions of its packages; None if it does not work or cannot be installed."""
    running = Running(client)
    try:
        if not healthy(running):
            print(f"{client.name} does not work as it is driven here; left out", file=sys.stderr, flush=True)
            return None
        return [meet(running, row) for row in FAULTS], running.about["versions"]
    except Exception as exc:
        print(f"{client.name} is left out: {exc}", file=sys.stderr, flush=True)
        return None
    finally:
        running.stop()


def main() -> None:
    """Print the matrix, a row for each fault and a column for each client."""
    outcomes: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for client in CLIENTS:
        if (found := column(client)) is not None:
            outcomes[client.name] = found[0]
            # Peers bring openai in versions of their own.
            versions.update({k: v for k, v in found[1].items() if k not in versions})
            print(f"{client.name}: {', '.join(found[0])}", flush=True)
    table = Table(
        "What becomes of each fault",
        f"One fault server; every client was told to wait {_PATIENCE:g} s for anything. *continued*: the text came "
        "complete and once although it broke in the middle; *complete*: it came undisturbed, or was asked for again; "
        "*detected*: an error says that something is missing; **LOST**: half an answer, or none, was returned as a "
        "complete one; **DUPLICATED**: something is in the text twice; "
        f"**HUNG**: no answer after {_LIMIT:g} s.",
        ["fault", *outcomes],
        [
            [
                row.name,
                *(f"**{found[number]}**" if found[number].isupper() else found[number] for found in outcomes.values()),
            ]
            for number, row in enumerate(FAULTS)
        ],
        facts=facts(outcomes),
    )
    print(table)
    keep("conformance", [table], versions)


def facts(outcomes: dict[str, list[str]]) -> dict[str, float]:
    """The figures of other pages."""
    ours = outcomes["`VLLMModel.call`"]
    theirs: list[Any] = [found for name, found in outcomes.items() if "tframex" not in name and "VLLM" not in name]
    return {
        "faults": len(FAULTS),
        "continued": sum(one in ("continued", "complete") for one in ours),
        "clients": len(theirs),
        "fooled": sum(found[_CLEAN_END] == "LOST" for found in theirs),
    }


if __name__ == "__main__":
    main()
