"""Every client meets every fault: prints the matrix, and keeps it for the documentation (`make bench-peers`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.table import Table, keep
from tests.conformance import apis
from tests.conformance.clients import CLIENTS, Client, Running
from tests.conformance.faults import FAULTS, TEXT, Row, verdict
from tframex.testing import FakeVLLM

__all__ = ["main"]

# Every client is told to wait so long for anything; one that has not answered after the second number hangs.
_PATIENCE, _LIMIT = 2.0, 25.0
_CLEAN_END = next(number for number, row in enumerate(FAULTS) if row.name == "clean end in the middle")
# In a table whose columns are narrow, so that each LOST is on the screen.
_SHOWN = {
    "complete": "✓",
    "continued": "↻",
    "detected": "error",
    "LOST": "**LOST**",
    "HUNG": "**HUNG**",
    "DUPLICATED": "**TWICE**",
}


def meet(running: Running, row: Row) -> str:
    """What becomes of one fault with one client."""
    with FakeVLLM(TEXT, faults=list(row.faults)) as server:
        found = running.ask({"url": server.url, "seconds": _PATIENCE}, _LIMIT)
    return "HUNG" if found is None else verdict(found["text"], found["error"], middle=row.middle)


def healthy(running: Running) -> bool:
    """Whether the client works at all when nothing goes wrong."""
    with FakeVLLM(TEXT) as server:
        return running.ask({"url": server.url, "seconds": _PATIENCE}, 60) == {"text": TEXT, "error": None}


def outcomes_of(client: Client, rows: Sequence[Row] = FAULTS) -> tuple[list[str], dict[str, str]] | None:
    """All faults with one client, and the versions of its packages; None if it does not work or cannot be installed."""
    running = Running(client)
    try:
        if not healthy(running):
            print(f"{client.name} does not work as it is driven here; left out", file=sys.stderr, flush=True)
            return None
        return [meet(running, row) for row in rows], running.about["versions"]
    except Exception as exc:
        print(f"{client.name} is left out: {exc}", file=sys.stderr, flush=True)
        return None
    finally:
        running.stop()


def main() -> None:
    """Print the matrix, a row for each client and a column for each fault."""
    outcomes: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for client in CLIENTS:
        if (found := outcomes_of(client)) is not None:
            outcomes[client.name] = found[0]
            # Peers bring openai in versions of their own.
            versions.update({k: v for k, v in found[1].items() if k not in versions})
            print(f"{client.name}: {', '.join(found[0])}", flush=True)
    others: dict[str, list[str]] = {}
    for api, rows in apis.ROWS.items():
        for client in apis.clients(api):
            if (found := outcomes_of(client, rows)) is not None:
                others[client.name] = found[0]
                print(f"{client.name}: {', '.join(found[0])}", flush=True)
    tables = [matrix(outcomes), apis.matrix(others, _SHOWN)]
    print(*tables, sep="\n")
    keep("conformance", tables, versions)


def matrix(outcomes: dict[str, list[str]]) -> Table:
    """The table, from the outcome of each fault by client."""
    return Table(
        "What becomes of each fault",
        f"One fault server; every client was told to wait {_PATIENCE:g} s for anything. ✓: the text came complete "
        "and undisturbed, or was asked for again; ↻: it broke in the middle, was continued, and is complete and "
        "there once; *error*: an error says that something is missing; **LOST**: half an answer, or none, was "
        "returned as a complete one; **TWICE**: something is in the text twice; **HUNG**: no answer after "
        f"{_LIMIT:g} s.",
        ["client", *(row.short for row in FAULTS)],
        [[name, *(_SHOWN[outcome] for outcome in found)] for name, found in outcomes.items()],
        facts=facts(outcomes),
        legend="; ".join(f"*{row.short}*: {row.name}" for row in FAULTS) + ".",
    )


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
