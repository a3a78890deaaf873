"""Answers of a JSON schema, and what they are checked for."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from tests.conftest import Colour, ask
from tframex.errors import ConfigurationError, OutputValidationError
from tframex.model import Output, VLLMModel
from tframex.testing import FakeVLLM

FILM = {
    "title": "Film",
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[A-Z]"},
        "year": {"type": "integer", "minimum": 1888, "exclusiveMaximum": 2100},
        "genres": {"type": "array", "items": {"enum": ["horror", "comedy"]}, "uniqueItems": True, "maxItems": 2},
        "sequel": {"$ref": "#"},
        "rating": {"anyOf": [{"type": "number", "multipleOf": 0.5}, {"type": "null"}]},
    },
    "required": ["title", "year"],
    "additionalProperties": False,
}
ALIEN: dict[str, Any] = {"title": "Alien", "year": 1979, "genres": ["horror"], "rating": 8.5}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"title": "alien"}, "title: must match ^[A-Z]"),
        ({"title": ""}, "title: must have at least 1 characters"),
        ({"title": "A" * 21}, "title: must have at most 20 characters"),
        ({"title": 7}, "title: must be of type string"),
        ({"year": 1979.5}, "year: must be of type integer"),
        ({"year": True}, "year: must be of type integer"),
        ({"year": 1800}, "year: must be at least 1888"),
        ({"year": 2100}, "year: must be less than 2100"),
        ({"genres": ["horror", "drama"]}, 'genres.1: must be one of "horror", "comedy"'),
        ({"genres": ["horror", "horror"]}, "genres: must not have an item twice"),
        ({"genres": ["horror", "comedy", "horror"]}, "genres: must have at most 2 items"),
        ({"rating": 8.3}, "rating: is none of what it may be"),
        ({"sequel": {"title": "Aliens"}}, "sequel.year: is missing"),
        ({"sequel": {"title": "Aliens", "year": 1986, "extra": 1}}, "sequel.extra: there must be nothing here"),
    ],
)
def test_a_value_that_a_schema_does_not_describe_is_an_error(change: dict[str, Any], error: str) -> None:
    output = Output.from_schema(FILM)
    assert output.parse(json.dumps(ALIEN)) == ALIEN
    assert output.parse(json.dumps({**ALIEN, "sequel": ALIEN, "rating": None, "year": 1979.0}))["sequel"] == ALIEN
    with pytest.raises(OutputValidationError) as caught:
        output.parse(json.dumps({**ALIEN, **change}))
    assert error in caught.value.errors


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, [None, "a"], [1]),
        ({"const": 1}, [1, 1.0], [True, "1"]),
        ({"enum": [[1], {"a": True}]}, [[1], {"a": True}], [[True], {"a": 1}]),
        ({"not": {"type": "string"}}, [1], ["a"]),
        ({"oneOf": [{"minimum": 2}, {"multipleOf": 3}]}, [2, -3], [3, 1]),
        ({"allOf": [{"minimum": 2}, {"maximum": 3}]}, [2, 3], [1, 4]),
        ({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"minimum": 2}}, ["ab", 2], ["a", 1]),
        ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], []], [[1], ["a", 2]]),
        ({"items": [{"type": "string"}], "additionalItems": {"type": "null"}}, [["a", None]], [["a", 1]]),
        ({"contains": {"const": 1}, "maxContains": 2}, [[1, 2]], [[2], [1, 1, 1]]),
        ({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False}, [{"x1": None}], [{"x": 1}]),
        ({"propertyNames": {"maxLength": 1}, "minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{"ab": 1}, {}]),
        ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, [{}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, [None], [0]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5], [1, 2]),
        ({"minItems": 1}, [[1]], [[]]),
        ({}, [1, "a", None], []),
    ],
)
def test_the_keywords_of_json_schema(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    output = Output.from_schema(schema)
    for value in good:
        assert output.parse(json.dumps({"value": value})) == value
        assert output.parse(json.dumps(value)) == value or isinstance(value, dict)
    for value in bad:
        with pytest.raises(OutputValidationError):
            output.parse(json.dumps({"value": value}))


def test_what_is_optional_in_a_schema_stays_so() -> None:
    output = Output.from_schema(FILM)
    assert (output.name, output.wrapped, output.strict) == ("Film", False, False)
    assert output.schema["required"] == ["title", "year"]
    assert "uniqueItems" not in json.dumps(output.schema)
    strict = Output.from_schema({**FILM, "required": [*FILM["properties"]]})  # type: ignore[misc]
    assert strict.strict
    assert Output.from_schema({"enum": ["a", "b"]}).parse("b") == "b"


def test_definitions_stay_where_references_find_them_around_a_value_that_is_no_object() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}
    output = Output.from_schema(schema, name="numbers")
    assert output.schema["$defs"] == {"n": {"type": "integer"}}
    assert output.schema["properties"]["value"]["items"] == {"$ref": "#/$defs/n"}
    assert output.parse('{"value": [1]}') == [1]
    with pytest.raises(OutputValidationError, match=r"0: must be of type integer"):
        output.parse('{"value": ["a"]}')
    again = pickle.loads(pickle.dumps(output))  # noqa: S301 - our own bytes
    assert again.parse("[1]") == [1]


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ([], "must be a JSON schema"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "not supported"),
        ({"unevaluatedProperties": False}, "not supported"),
        ({"type": "text"}, "there are null, boolean"),
        ({"items": {"type": ["int"]}}, "there are null, boolean"),
        ({"pattern": "("}, "which is none"),
        ({"$ref": "#/$defs/a"}, "leads nowhere"),
        ({"$ref": "#"}, "leads in a circle"),
    ],
)
def test_what_is_no_schema_or_cannot_be_checked_is_refused(schema: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        Output.from_schema(schema)


def test_a_property_may_have_the_name_of_a_keyword_that_is_not_supported() -> None:
    output = Output.from_schema({"type": "object", "properties": {"$anchor": {"type": "integer"}}})
    assert output.parse('{"$anchor": 1}') == {"$anchor": 1}


def test_a_call_takes_a_schema_for_a_type(colour: Colour) -> None:
    async def body() -> None:
        answers = iter([json.dumps({**ALIEN, "year": 1}), json.dumps(ALIEN)])
        with FakeVLLM(lambda _: next(answers)) as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model) as made:
                completion = await made.call(ask("A film?"), output_type=Output.from_schema(FILM))
            assert completion.output == ALIEN
            first, second = server.completions()
            assert first.body["response_format"]["json_schema"]["name"] == "Film"
            assert "year: must be at least 1888" in second.body["messages"][-1]["content"]

    colour.run(body)
