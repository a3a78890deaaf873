"""Grammars that hold calls to the schemas of their tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tframex.model._call_text import CALL_BEGIN, CALL_END

__all__ = ["action_schema", "answer_tag", "structural_tag"]

Definitions = Sequence[Mapping[str, Any]]

# A small model repeats a call until its tokens are used up.
_MOST_CALLS = 16
# Also: it writes line breaks without end, where JSON allows them.
_WHITE_SPACE = 2


def structural_tag(tools: Definitions, *, must: bool, several: bool, answer: Mapping[str, Any] | None) -> str:
    """The structural tag (of vLLM and xgrammar) for calls of these tools.

    Args:
        tools: The definitions of the tools that may be called.
        must: At least one call; otherwise any text, or `answer`, in place of calls.
        several: More than one call is allowed.
        answer: The JSON schema of the answer; None: any text.
    """
    tags = [_tag(_function(tool)) for tool in tools]
    calls: dict[str, Any] = {"type": "or", "elements": tags} if len(tags) > 1 else tags[0]
    if several:
        more = {"type": "sequence", "elements": [{"type": "const_string", "value": "\n"}, calls]}
        repeated = {"type": "repeat", "min": 0, "max": _MOST_CALLS - 1, "content": more}
        calls = {"type": "sequence", "elements": [calls, repeated]}
    if must:
        form = calls
    elif answer is not None:
        form = {"type": "or", "elements": [calls, _json_schema(answer)]}
    else:
        form = {"type": "triggered_tags", "triggers": [CALL_BEGIN], "tags": tags, "stop_after_first": not several}
    return json.dumps({"type": "structural_tag", "format": form})


def answer_tag(answer: Mapping[str, Any]) -> str:
    """The structural tag for JSON of a schema: a `response_format` that bounds the white space between its parts."""
    return json.dumps({"type": "structural_tag", "format": _json_schema(answer)})


def action_schema(tools: Definitions, *, must: bool, several: bool, answer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The JSON schema of one action: calls of these tools, or an answer.

    Args:
        tools: The definitions of the tools that may be called; none: only an answer is allowed.
        must: Calls are the only action.
        several: More than one call is allowed.
        answer: The JSON schema of the answer; None: text.
    """
    defs: dict[str, Any] = {}
    items = [
        _object(name={"const": name}, arguments=_rebased(schema, f"tool{number}_", defs))
        for number, (name, schema) in enumerate(map(_function, tools))
    ]
    said = _object(answer={"type": "string"} if answer is None else _rebased(answer, "answer_", defs))
    if not items:
        return {**said, "$defs": defs} if defs else said
    calls = {
        "type": "array",
        "items": {"anyOf": items} if len(items) > 1 else items[0],
        "minItems": 1,
        "maxItems": _MOST_CALLS if several else 1,
    }
    schema = _object(calls=calls) if must else {"anyOf": [_object(calls=calls), said]}
    return {**schema, "$defs": defs} if defs else schema


def _function(tool: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    function = tool["function"]
    return function["name"], function.get("parameters") or {"type": "object", "properties": {}}


def _tag(function: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    name, schema = function
    begin = f'{CALL_BEGIN}\n{{"name": {json.dumps(name)}, "arguments": '
    return {"type": "tag", "begin": begin, "content": _json_schema(schema), "end": f"}}\n{CALL_END}"}


def _json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": _WHITE_SPACE}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _rebased(schema: Mapping[str, Any], prefix: str, defs: dict[str, Any]) -> Any:
    """The schema as a part of another: its definitions move to `defs`, each name with a prefix."""
    own = schema.get("$defs") or {}
    names = {f"#/$defs/{name}": f"#/$defs/{prefix}{name}" for name in own}
    # A reference to the root becomes one to a definition.
    if _refers_to_root(schema):
        names["#"] = f"#/$defs/{prefix}root"
        defs[f"{prefix}root"] = _renamed({key: value for key, value in schema.items() if key != "$defs"}, names)
    for name, value in own.items():
        defs[f"{prefix}{name}"] = _renamed(value, names)
    return _renamed({key: value for key, value in schema.items() if key != "$defs"}, names)


def _refers_to_root(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("$ref") == "#" or _any(value.values())
    return isinstance(value, list) and _any(value)


def _any(values: Iterable[Any]) -> bool:
    return any(map(_refers_to_root, values))


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: names.get(item, item) if key == "$ref" and isinstance(item, str) else _renamed(item, names)
            for key, item in value.items()
        }
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value
