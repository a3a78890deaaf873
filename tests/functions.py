"""The functions and calls of the Berkeley Function Calling Leaderboard, from the wheel `bfcl-eval` (Apache-2.0).

`make` installs it without its dependencies; only its data files are read.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tframex.completion import ToolCall

__all__ = ["CATEGORIES", "Case", "cases", "schemas"]

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple")
# It writes some types as Python has them; its own runner maps them likewise.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
_NAMES = ("properties",)


@dataclass(frozen=True)
class Case:
    """A question with the functions that may answer it.

    Attributes:
        id: The case.
        prompt: What the user asks.
        functions: The functions: `name`, `description` and `parameters`, a JSON Schema.
        calls: The calls that answer it.
    """

    id: str
    prompt: str
    functions: tuple[dict[str, Any], ...]
    calls: tuple[ToolCall, ...]


@cache
def cases(category: str) -> tuple[Case, ...]:
    """The cases of a category."""
    questions = _lines(f"BFCL_v4_{category}.json")
    answers = {line["id"]: line["ground_truth"] for line in _lines(f"possible_answer/BFCL_v4_{category}.json")}
    return tuple(
        Case(
            line["id"],
            line["question"][0][-1]["content"],
            tuple(
                {
                    "name": _name(function["name"]),
                    "description": function["description"],
                    "parameters": _schema(function["parameters"]),
                }
                for function in line["function"]
            ),
            tuple(_calls(line["id"], answers[line["id"]])),
        )
        for line in questions
    )


def schemas() -> dict[str, dict[str, Any]]:
    """Every different function of all categories, by a name for it."""
    found: dict[str, dict[str, Any]] = {}
    for category in CATEGORIES:
        for case in cases(category):
            for function in case.functions:
                found.setdefault(json.dumps(function, sort_keys=True), function)
    return {f"{number}-{function['name']}": function for number, function in enumerate(found.values())}


def _lines(name: str) -> list[Any]:
    spec = importlib.util.find_spec("bfcl_eval")
    folders = spec.submodule_search_locations if spec is not None else None
    assert folders, "bfcl-eval is missing; `make .venv/dev` installs it"
    path = Path(folders[0]) / "data" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _name(name: str) -> str:
    # The API takes no dots.
    return name.replace(".", "_")


def _schema(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            if (kind := _TYPES.get(value, value)) is not None:
                written[key] = kind
        elif key in _NAMES:
            written[key] = {name: _schema(item) for name, item in value.items()}
        else:
            written[key] = value if key in ("enum", "default") else _schema(value)
    return written


def _calls(case: str, truth: list[dict[str, Any]]) -> Iterator[ToolCall]:
    for index, call in enumerate(truth):
        ((name, options),) = call.items()
        arguments = {key: _first(value) for key, value in options.items() if _given(value)}
        yield ToolCall(index, f"{case}-{index}", _name(name), json.dumps(arguments, ensure_ascii=False))


def _given(options: list[Any]) -> bool:
    """Whether an argument is given: an empty text among its values says that it may be left out."""
    return any(option != "" for option in options)


def _first(options: list[Any]) -> Any:
    return _value(next(option for option in options if option != ""))


def _value(option: Any) -> Any:
    """A value in which each object has a list of possible values for each of its properties."""
    if isinstance(option, dict):
        return {
            key: _first(value) if isinstance(value, list) else _value(value)
            for key, value in option.items()
            if not isinstance(value, list) or _given(value)
        }
    return [_value(item) for item in option] if isinstance(option, list) else option
