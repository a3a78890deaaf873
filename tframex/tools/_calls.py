"""The calls of one answer, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tframex.completion import ToolCall

__all__ = ["distinct_calls", "identity"]


def distinct_calls(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """The calls in their order, each once and with its own id.

    A call that is sent twice, with the same id, name and arguments, is one call. Different calls with the same id, or with
    none, are different calls of a server that makes no ids; they get some.

    Args:
        calls: The calls of one answer.
    """
    kept: list[ToolCall] = []
    seen: set[tuple[str, str, str]] = set()
    taken = {call.id for call in calls}
    used: set[str] = set()
    for number, call in enumerate(calls):
        if call.id and identity(call) in seen:
            continue
        seen.add(identity(call))
        if not call.id or call.id in used:
            while (made := f"call_{number}") in taken:
                number += len(calls)
            taken.add(made)
            call = replace(call, id=made)
        used.add(call.id)
        kept.append(call)
    return kept


def identity(call: ToolCall) -> tuple[str, str, str]:
    """What two sendings of the same call have in common."""
    return call.id, call.name, call.arguments
