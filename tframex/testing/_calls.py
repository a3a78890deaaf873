"""Calls of tools that the fake server's model makes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from tframex.completion import ToolCall

__all__ = ["CallBegin", "CallPiece", "ScriptedCall", "action", "calls_of", "markup", "wants_action", "words_of_call"]

ScriptedCall: TypeAlias = ToolCall | tuple[str, Mapping[str, Any]]
"""A call in a script: a name with its arguments, or a `ToolCall` where the id or the bytes of the arguments matter."""


class CallBegin(str):
    """The tokens at the beginning of a call, which a parser turns into its id and name."""

    call: ToolCall

    def __new__(cls, call: ToolCall) -> CallBegin:
        made = super().__new__(cls, f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": ')
        made.call = call
        return made


class CallPiece(str):
    """A token of a call's arguments."""

    position: int

    def __new__(cls, text: str, position: int) -> CallPiece:
        made = super().__new__(cls, text)
        made.position = position
        return made


def calls_of(script: Sequence[ScriptedCall]) -> tuple[ToolCall, ...]:
    """The calls of a script; those without an id get vLLM's."""
    return tuple(map(_call, range(len(script)), script))


def words_of_call(call: ToolCall, tokenize: Callable[[str], list[str]]) -> Iterator[str]:
    """The tokens of a call that a parser reads."""
    yield CallBegin(call)
    for word in tokenize(call.arguments):
        yield CallPiece(word, call.index)


def markup(call: ToolCall) -> str:
    """A call as a model writes it."""
    return f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n</tool_call>'


def action(text: str, calls: Sequence[ToolCall]) -> str:
    """An answer as a model writes it whose grammar wants an action."""
    if not calls:
        return json.dumps({"answer": json.loads(text) if text.startswith("{") else text}, ensure_ascii=False)
    written = (f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}' for call in calls)
    return f'{{"calls": [{", ".join(written)}]}}'


def wants_action(body: Mapping[str, Any]) -> bool:
    """Whether the grammar of a request wants calls or an answer, as one JSON object."""
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    return any(
        set(form.get("properties") or ()) in ({"calls"}, {"answer"}) for form in (schema, *(schema.get("anyOf") or ()))
    )


def _call(index: int, call: ScriptedCall) -> ToolCall:
    if isinstance(call, ToolCall):
        return call if call.id else replace(call, id=_id(index, call))
    name, arguments = call
    made = ToolCall(index, "", name, json.dumps(arguments, ensure_ascii=False))
    return replace(made, id=_id(index, made))


def _id(index: int, call: ToolCall) -> str:
    number = zlib.crc32(f"{index} {call.name} {call.arguments}".encode())
    return f"chatcmpl-tool-{number:016x}"
