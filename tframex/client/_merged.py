"""Neighbouring chunks of text, merged into one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["merged"]

_TEXTS = ("content", "reasoning", "reasoning_content")


def merged(events: Iterable[bytes]) -> Iterator[bytes]:
    """The JSON of chunks, those that differ in nothing but their text as one.

    Whatever carries more than text remains by itself: a role, a tool call, a finish reason, log probabilities, usage.
    """
    last: dict[str, Any] | None = None
    frame: object = None
    for data in events:
        body = json.loads(data)
        this = _frame(body)
        if last is not None and this is not None and this == frame:
            delta, more = last["choices"][0]["delta"], body["choices"][0]["delta"]
            for name in _TEXTS:
                if more.get(name):
                    delta[name] = (delta.get(name) or "") + more[name]
            continue
        if last is not None:
            yield json.dumps(last).encode()
        last, frame = body, this
    if last is not None:
        yield json.dumps(last).encode()


def _frame(body: Any) -> object:
    """What a chunk of text has in common with those it can be merged with; None: it has more than text."""
    try:
        (choice,) = body["choices"]
        delta = choice["delta"]
        texts = [name for name in _TEXTS if delta.get(name)]
        around = [body, choice, delta]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    inside = {"choices", "delta", "created", *texts}
    found = [(name, value) for part in around for name, value in part.items() if name not in inside]
    if not texts or any(value is not None and not isinstance(value, (str, int, float)) for _, value in found):
        return None
    if choice.get("finish_reason") or any(delta[name] for name in delta if name not in _TEXTS):
        return None
    return texts, found
