"""A JSON schema in the form that the grammars of servers take."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SentSchema", "sent_schema"]

# They say nothing about a value, or only to a person.
_SILENT = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "deprecated",
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
# vLLM answers 400 "Unimplemented keys" to most of these, OpenAI "is not permitted" to all.
_REFUSED = frozenset(
    {
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "not",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
# Their automata know no looking around and no references back.
_NO_AUTOMATON = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\(\?P=")
_OF_SCHEMAS = ("$defs", "definitions", "properties")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "prefixItems")


@dataclass(frozen=True)
class SentSchema:
    """A schema as it is sent.

    Attributes:
        schema: It: objects have no further properties, and all of their properties are required.
        strict: Whether it is all that OpenAI's `strict` asks for.
        notes: What it does not say although the original does, one line each; whoever validates the answer checks it.
    """

    schema: dict[str, Any]
    strict: bool
    notes: tuple[str, ...] = ()


def sent_schema(schema: Mapping[str, Any], *, without: Collection[str] = (), closed: bool = True) -> SentSchema:
    """Make a JSON schema one that a server's grammar takes.

    Annotations, and constraints that grammars refuse, are left out; a constraint has a note. `oneOf` becomes `anyOf`. A
    description beside a `$ref` is kept by copying what is referred to. A root that is a `$ref` becomes what it refers to.

    Args:
        schema: The schema, for example of `TypeAdapter.json_schema()`.
        without: Further keywords to leave out, as an endpoint has refused them.
        closed: Require all properties, and forbid others where the schema says nothing of them.
    """
    writer = _Writer(schema, frozenset(without), closed)
    sent = writer.root()
    return SentSchema(sent, writer.strict, tuple(dict.fromkeys(writer.notes)))


@dataclass
class _Writer:
    original: Mapping[str, Any]
    without: frozenset[str]
    closed: bool
    strict: bool = True
    notes: list[str] = field(default_factory=list)

    def root(self) -> dict[str, Any]:
        schema: Mapping[str, Any] = self.original
        seen = set()
        while isinstance(name := schema.get("$ref"), str) and name not in seen:
            seen.add(name)
            siblings = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._at(name), **siblings}
        return self._written(schema, ())

    def _at(self, reference: str) -> Mapping[str, Any]:
        """What a local reference refers to."""
        found: Any = self.original
        for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _written(self, schema: Any, inside: tuple[str, ...]) -> dict[str, Any]:
        """One schema; `inside`: the references that have been copied on the way to it."""
        if not isinstance(schema, Mapping):
            self.strict = False  # True: anything
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            beside = {key: value for key, value in schema.items() if key == "description"}
            if not beside or reference in inside:
                return {"$ref": reference}
            return self._written({**self._at(reference), **beside}, (*inside, reference))
        only = schema.get("allOf")
        if isinstance(only, list) and len(only) == 1 and isinstance(only[0], Mapping):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            return self._written({**only[0], **rest}, inside)
        written = dict(self._keywords(schema, inside))
        if "properties" in written:
            self._closed(written)
        elif written.get("type") == "object" or not written.keys() - {"$defs", "description"}:
            self.strict = False
        if {"allOf", "prefixItems"} & written.keys():
            self.strict = False
        return written

    def _keywords(self, schema: Mapping[str, Any], inside: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for key, value in schema.items():
            if key in _SILENT:
                continue
            if key in _REFUSED or key in self.without or not self._takes(key, value):
                self._note(key, value)
            elif key in _OF_SCHEMAS and isinstance(value, Mapping):
                yield key, {name: self._written(item, inside) for name, item in value.items()}
            elif key == "oneOf":
                yield "anyOf", [self._written(item, inside) for item in value]
            elif key in _LISTS_OF_SCHEMAS:
                yield key, [self._written(item, inside) for item in value]
            elif key == "items" or (key == "additionalProperties" and isinstance(value, Mapping)):
                yield key, value if value is False else self._written(value, inside)
            else:
                yield key, value

    @staticmethod
    def _takes(key: str, value: Any) -> bool:
        if key == "format":
            return value in _FORMATS
        return key != "pattern" or _NO_AUTOMATON.search(str(value)) is None

    def _closed(self, schema: dict[str, Any]) -> None:
        """Require all properties, and allow no others unless the type does."""
        if not self.closed:
            every = set(schema.get("required", ())) == set(schema["properties"])
            self.strict = self.strict and every and schema.get("additionalProperties") is False
            return
        if schema.get("additionalProperties", False) is False:
            schema["additionalProperties"] = False
        else:
            self.strict = False
        schema["required"] = list(schema["properties"])

    def _note(self, key: str, value: Any) -> None:
        shown = f" {value!r}" if isinstance(value, (str, int, float)) and value is not True else ""
        self.notes.append(f"{key}{shown} is not sent, but checked in the answer")
