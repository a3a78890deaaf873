"""The streams of the Responses API and of `/v1/completions` meet every fault, official client beside ours."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.table import Table
from tests.conformance.clients import Client
from tests.conformance.faults import Row, rows_for

__all__ = ["APIS", "ROWS", "clients", "matrix"]

APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": ("/responses", {"input": "q"}),
    "stored": ("/responses", {"input": "q", "background": True}),
    "completions": ("/completions", {"prompt": "q", "max_tokens": 500}),
}
"""What is asked of each."""
ROWS: dict[str, tuple[Row, ...]] = {api: rows_for(path, asked) for api, (path, asked) in APIS.items()}
_NAMES = {
    "responses": "`responses`",
    "stored": "`responses`, `background=True`",
    "completions": "`completions`",
}


def clients(api: str) -> list[Client]:
    """The official client and ours, in both colours."""
    return [
        Client(f"{_NAMES[api]}: {name}", "apis.py", arguments=(library, colour, api))
        for colour, names in (("async", ("openai", "`tframex`")), ("sync", ("openai, sync", "`tframex`, sync")))
        for library, name in zip(("openai", "tframex"), names, strict=True)
    ]


def matrix(outcomes: dict[str, list[str]], shown: dict[str, str]) -> Table:
    """The table, from the outcome of each fault by client."""
    rows = ROWS["responses"]
    return Table(
        "What becomes of each fault in the other APIs",
        "The same faults and signs as above. A response that was generated in the background is retrieved from the event "
        "after the last one that arrived; others are not asked for a second time, since they may have used tools.",
        ["client", *(row.short for row in rows)],
        [[name, *(shown[outcome] for outcome in found)] for name, found in outcomes.items()],
        legend="; ".join(f"*{row.short}*: {row.name}" for row in rows) + ".",
    )
