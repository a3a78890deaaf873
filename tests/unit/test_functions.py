"""The functions of a public suite: every schema is a tool's, and every call arrives as it was meant."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from tests.functions import CATEGORIES, Case, cases, schemas
from tframex.model import sent_schema
from tframex.tools import AskAgain, Tool, Toolset

# The suite's own answers contradict its schemas there.
CONTRADICTIONS = {
    "simple_python_307-0": "venue: True is not of type 'string'",
    "parallel_152-0": "mod: None is not of type 'number'",
    "parallel_152-1": "mod: None is not of type 'number'",
    "parallel_multiple_21-1": "x: \"data['sales']\" is not of type 'array'",
    "parallel_multiple_94-0": "elements[0]: 'apple' is not of type 'integer'",
}


def tools_of(case: Case, function: Any) -> Toolset:
    return Toolset([Tool.from_schema(**definition, function=function) for definition in case.functions])


def test_all_functions_of_the_suite_are_tools_whose_schemas_are_sent_as_they_are() -> None:
    found = schemas()
    assert len(found) == 1123
    for definition in found.values():
        made = Tool.from_schema(**definition, function=lambda **arguments: arguments)
        assert made.definition() == {"type": "function", "function": definition}
        sent = sent_schema(made.parameters)
        assert (sent.notes, sent.schema["type"]) == ((), "object")


@pytest.mark.parametrize(
    ("category", "number"), [("simple_python", 400), ("multiple", 200), ("parallel", 540), ("parallel_multiple", 607)]
)
def test_every_call_of_the_suite_runs_with_the_arguments_it_means(category: str, number: int) -> None:
    async def function(**arguments: Any) -> dict[str, Any]:
        return arguments

    async def run() -> int:
        ran = 0
        for case in cases(category):
            for call, outcome in zip(case.calls, await tools_of(case, function).run(case.calls), strict=True):
                ran += 1
                assert outcome.failed == (call.id in CONTRADICTIONS), outcome
                if outcome.failed:
                    assert CONTRADICTIONS[call.id] in outcome.content
                else:
                    assert json.loads(outcome.content) == json.loads(call.arguments)
        return ran

    assert anyio.run(run) == number
    assert category in CATEGORIES


def test_an_argument_of_another_type_is_refused() -> None:
    (definition,) = cases("simple_python")[0].functions
    made = Tool.from_schema(**definition, function=lambda **arguments: arguments)
    assert definition["name"] == "calculate_triangle_area"
    with pytest.raises(AskAgain, match="base: 'ten' is not of type 'integer'"):
        made.read('{"base": "ten", "height": 5}')
