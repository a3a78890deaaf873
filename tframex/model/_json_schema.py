"""Validating a value against a JSON schema: what pydantic does for types, for schemas that come from a file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tframex.errors import ConfigurationError

__all__ = ["check_schema", "wrong_in"]

_UNKNOWN = ("$anchor", "$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def check_schema(schema: Any, name: str = "schema") -> dict[str, Any]:
    """Refuse what is no schema, and one with keywords that are not validated here.

    Raises:
        ConfigurationError: It is one of these.
    """
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{name} must be a JSON schema, an object, not {type(schema).__name__}")
    for key, value in _keywords(schema):
        if key in _UNKNOWN or (key == "$ref" and not str(value).startswith("#")):
            raise ConfigurationError(f"{name} has {key!r} ({value!r}), which is not supported: write it without")
        if key == "type":
            kinds = [value] if isinstance(value, str) else value
            if not isinstance(kinds, list) or not all(kind in _TYPES for kind in kinds):
                raise ConfigurationError(f"{name} has the type {value!r}; there are {', '.join(_TYPES)}")
        if key == "pattern":
            _compiled(value, name)
    for _ in wrong_in(None, schema, schema):
        pass
    return schema


def _compiled(pattern: Any, name: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as exc:
        raise ConfigurationError(f"{name} has the pattern {pattern!r}, which is none: {exc}") from None


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """The keywords of a schema and of those inside it; names of properties are none."""
    if isinstance(schema, list):
        for item in schema:
            yield from _keywords(item)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        yield key, value
        if key in ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"):
            for inner in value.values() if isinstance(value, dict) else ():
                yield from _keywords(inner)
        elif key not in ("const", "enum", "default", "examples"):
            yield from _keywords(value)


def wrong_in(value: Any, schema: Any, root: Mapping[str, Any], where: str = "", depth: int = 0) -> Iterator[str]:
    """What is wrong with a value, one line each: where, then what.

    Args:
        value: The value, as `json.loads` gives it.
        schema: What it should be.
        root: The schema around that, which references refer to.
        where: Its place in the value around it.
        depth: How many references have led here without a step into the value.

    Raises:
        ConfigurationError: A reference leads nowhere, or in a circle.
    """
    if not isinstance(schema, dict):
        if schema is False:
            yield _line(where, "there must be nothing here")
        return
    if "$ref" in schema:
        if depth > 64:
            raise ConfigurationError(f"the reference {schema['$ref']!r} of the schema leads in a circle")
        yield from wrong_in(value, _at(root, schema["$ref"]), root, where, depth + 1)
    yield from (_line(where, said) for said in _of_any(value, schema))
    if _is_number(value):
        yield from (_line(where, said) for said in _of_number(value, schema))
    elif isinstance(value, str):
        yield from (_line(where, said) for said in _of_text(value, schema))
    elif isinstance(value, list):
        yield from _of_list(value, schema, root, where)
    elif isinstance(value, dict):
        yield from _of_object(value, schema, root, where)
    yield from _of_combined(value, schema, root, where, depth)


def _of_any(value: Any, schema: dict[str, Any]) -> Iterator[str]:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds is not None and not any(_TYPES[kind](value) for kind in kinds):
        yield f"must be of type {' or '.join(kinds)}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"must be one of {', '.join(map(_shown, schema['enum']))}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"must be {_shown(schema['const'])}"


def _of_number(value: float, schema: dict[str, Any]) -> Iterator[str]:
    if value < schema.get("minimum", -math.inf):
        yield f"must be at least {schema['minimum']}"
    if value > schema.get("maximum", math.inf):
        yield f"must be at most {schema['maximum']}"
    if value <= schema.get("exclusiveMinimum", -math.inf):
        yield f"must be more than {schema['exclusiveMinimum']}"
    if value >= schema.get("exclusiveMaximum", math.inf):
        yield f"must be less than {schema['exclusiveMaximum']}"
    step = schema.get("multipleOf")
    if step is not None and not math.isclose(value / step, round(value / step), rel_tol=1e-9, abs_tol=1e-9):
        yield f"must be a multiple of {step}"


def _of_text(value: str, schema: dict[str, Any]) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"must have at least {schema['minLength']} characters"
    if len(value) > schema.get("maxLength", math.inf):
        yield f"must have at most {schema['maxLength']} characters"
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield f"must match {schema['pattern']}"


def _of_list(value: list[Any], schema: dict[str, Any], root: Mapping[str, Any], where: str) -> Iterator[str]:
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    if isinstance(rest, list):
        # As drafts before 2020-12 had it.
        first, rest = rest, schema.get("additionalItems", True)
    for number, item in enumerate(value):
        yield from wrong_in(item, first[number] if number < len(first) else rest, root, _inside(where, number))
    if len(value) < schema.get("minItems", 0):
        yield _line(where, f"must have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", math.inf):
        yield _line(where, f"must have at most {schema['maxItems']} items")
    if schema.get("uniqueItems") and any(_same(a, b) for n, a in enumerate(value) for b in value[:n]):
        yield _line(where, "must not have an item twice")
    if "contains" in schema:
        found = sum(not _wrong(item, schema["contains"], root) for item in value)
        if not schema.get("minContains", 1) <= found <= schema.get("maxContains", math.inf):
            yield _line(where, "does not contain what it must")


def _of_object(value: dict[str, Any], schema: dict[str, Any], root: Mapping[str, Any], where: str) -> Iterator[str]:
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield _line(_inside(where, name), "is missing")
    for name, item in value.items():
        place = _inside(where, name)
        inner = [properties[name]] if name in properties else []
        inner += [of for pattern, of in patterns.items() if re.search(pattern, name)]
        for one in inner or [schema.get("additionalProperties", True)]:
            yield from wrong_in(item, one, root, place)
        if "propertyNames" in schema:
            yield from wrong_in(name, schema["propertyNames"], root, place)
    if len(value) < schema.get("minProperties", 0):
        yield _line(where, f"must have at least {schema['minProperties']} properties")
    if len(value) > schema.get("maxProperties", math.inf):
        yield _line(where, f"must have at most {schema['maxProperties']} properties")
    for name, others in schema.get("dependentRequired", {}).items():
        for other in others if name in value else ():
            if other not in value:
                yield _line(_inside(where, other), "is missing")
    for name, one in schema.get("dependentSchemas", {}).items():
        if name in value:
            yield from wrong_in(value, one, root, where)


def _of_combined(value: Any, schema: dict[str, Any], root: Mapping[str, Any], where: str, depth: int) -> Iterator[str]:
    for one in schema.get("allOf", ()):
        yield from wrong_in(value, one, root, where, depth)
    if "anyOf" in schema and all(_wrong(value, one, root, depth) for one in schema["anyOf"]):
        yield _line(where, "is none of what it may be")
    if "oneOf" in schema and sum(not _wrong(value, one, root, depth) for one in schema["oneOf"]) != 1:
        yield _line(where, "must be exactly one of what it may be")
    if "not" in schema and not _wrong(value, schema["not"], root, depth):
        yield _line(where, "is what it must not be")
    if "if" in schema:
        then = "else" if _wrong(value, schema["if"], root, depth) else "then"
        yield from wrong_in(value, schema.get(then, True), root, where, depth)


def _wrong(value: Any, schema: Any, root: Mapping[str, Any], depth: int = 0) -> bool:
    return next(wrong_in(value, schema, root, "", depth), None) is not None


def _at(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        name = part.replace("~1", "/").replace("~0", "~").replace("%25", "%").replace("%22", '"')
        found = found[int(name)] if isinstance(found, list) and name.isdigit() else found
        found = found.get(name) if isinstance(found, Mapping) else found
        if found is None:
            raise ConfigurationError(f"the reference {reference!r} of the schema leads nowhere")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _inside(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _line(where: str, said: str) -> str:
    return f"{where}: {said}" if where else said


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
