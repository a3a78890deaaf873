"""Ids of calls."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable
from dataclasses import replace

from tframex.completion import ToolCall

__all__ = ["distinct", "new_call_id"]

_SIGNS = string.ascii_letters + string.digits
# From the system, so that a forked process or a seeded program does not repeat ids.
_random = random.SystemRandom()


def new_call_id() -> str:
    """An id that no other call has. Some chat templates (Mistral's) take exactly nine letters and digits."""
    return "".join(_random.choices(_SIGNS, k=9))


def distinct(calls: Iterable[ToolCall], taken: Iterable[str] = ()) -> tuple[ToolCall, ...]:
    """The calls of one answer, each once and with an id of its own.

    A server's parser may send the same call twice: the same id with the same name and arguments. Another call with an id
    that is taken, or none, gets a new id, since a result refers to its call by the id alone.

    Args:
        calls: The calls as they were received.
        taken: Ids of earlier answers.
    """
    used = set(taken)
    seen: set[tuple[str, str, str]] = set()
    kept: list[ToolCall] = []
    for call in calls:
        same = (call.id, call.name, call.arguments)
        if call.id and same in seen:
            continue
        seen.add(same)
        id_ = call.id if call.id and call.id not in used else new_call_id()
        used.add(id_)
        kept.append(replace(call, index=len(kept), id=id_))
    return tuple(kept)
