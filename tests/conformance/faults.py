"""The faults, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2

from tframex.testing import FakeVLLM, Fault

__all__ = ["FAULTS", "TEXT", "Row", "rows_for", "verdict"]

TEXT = (
    "1. Red: the most obvious colour, but it's also the most versatile.\n"
    "2. Blue — a colour of the sky: “calm”, naïve, 静か. \U0001f469\U0001f3fd‍\U0001f680 \U0001f600\n\n"
    "3. Green; the rest follows.  Two spaces, and an end."
)
# Somewhere in the middle of the answer's events.
_MIDDLE = 6000


def _between_events(path: str, asked: dict[str, Any]) -> int:
    """The end of the event before the middle: comments that follow half an event would be garbage."""
    with FakeVLLM(TEXT) as server:
        body = httpx2.post(f"{server.url}{path}", json={"model": "fake", "stream": True, **asked}, timeout=30).content
    return body.rfind(b"\n\n", 0, _MIDDLE) + 2


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        short: Its name above a narrow column.
        name: What goes wrong.
        faults: What the first requests meet; those after them are well.
        middle: Whether some of the answer has arrived by then.
    """

    short: str
    name: str
    faults: list[Fault | None] = field(default_factory=list)
    middle: bool = True


def rows_for(path: str, asked: dict[str, Any]) -> tuple[Row, ...]:
    """The faults of an API.

    Args:
        path: Where its requests go.
        asked: Such a request.
    """
    between = _between_events(path, asked)
    return (
        Row("end", "clean end in the middle", [Fault.end(_MIDDLE)]),
        Row("reset", "reset in the middle", [Fault.cut(_MIDDLE)]),
        Row("error", "error event in the middle", [Fault.error(_MIDDLE)]),
        Row("silent", "silence in the middle", [Fault.stall(between)]),
        Row("pings", "only comments from the middle on", [Fault.comments(between)]),
        Row("junk", "garbage in the middle", [Fault.garbage(_MIDDLE)]),
        Row("thrice", "three resets in a row", [Fault.cut(_MIDDLE), Fault.cut(3000), Fault.cut(3000)]),
        Row("bytes", "bytes one by one", [Fault.split(1)], middle=False),
        Row("empty", "clean end before the first event", [Fault.end(0)], middle=False),
        Row("refused", "reset before the first event", [Fault.refuse()], middle=False),
        Row("503", "503 once", [Fault.busy(503)], middle=False),
        Row("429", "429 with Retry-After once", [Fault.busy(429, retry_after="0.2")], middle=False),
        Row("200/503", "503 as the first event of a 200", [Fault.error(0, code=503)], middle=False),
        Row("HTML", "a web page instead of an answer", [Fault.html()], middle=False),
    )


FAULTS = rows_for("/chat/completions", {"messages": [{"role": "user", "content": "q"}]})


def verdict(text: str, error: str | None, *, middle: bool) -> str:
    """The outcome of a fault, from the text that a user has seen and the error that was raised.

    `continued` and `complete`: the text is all there, once. `detected`: an error says that it is not. `LOST`: half an
    answer, or none, without an error. `DUPLICATED`: something is there twice.
    """
    if text == TEXT:
        return "detected" if error else "continued" if middle else "complete"
    if len(text) > len(TEXT) or text.count(TEXT[:20]) > 1:
        return "DUPLICATED"
    if error:
        return "detected"
    return "LOST"
