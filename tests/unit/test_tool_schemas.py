"""Schemas of functions, and arguments against them."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, cast

import anyio
import pydantic
import pytest

from tframex.errors import ConfigurationError
from tframex.tools import AskAgain, Tool, ToolContext, Toolset, tool

if TYPE_CHECKING:
    from decimal import Decimal


class Place(pydantic.BaseModel):
    title: str
    country: Annotated[str, pydantic.Field(max_length=2)] = "CH"


class Unit(enum.Enum):
    METRIC = "metric"
    IMPERIAL = "imperial"


def forecast(  # noqa: D417 - not every parameter has a description
    place: Place,
    days: Annotated[int, pydantic.Field(ge=1, le=7)] = 1,
    unit: Unit = Unit.METRIC,
    since: Optional[dt.date] = None,  # noqa: UP045 - as users write it
    detail: Literal["low", "high"] = "low",
) -> str:
    """The forecast for a place.

    Ask for it once.

    Args:
        place: Where.
        days: How many days.
        since: The first day,
            or None for today.

    Returns:
        A sentence.
    """
    return f"{place.title} {place.country} {days} {unit.value} {since} {detail}"


def run(made: Tool, arguments: str, context: ToolContext | None = None) -> str:
    return anyio.run(made.call, arguments, context)


def test_the_schema_of_a_function_comes_from_its_annotations_and_its_docstring() -> None:
    assert Tool(forecast).definition() == {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "The forecast for a place.\n\nAsk for it once.",
            "parameters": {
                "type": "object",
                "$defs": {
                    "Place": {
                        "type": "object",
                        "properties": {
                            "title": {"type": "string"},
                            "country": {"type": "string", "maxLength": 2, "default": "CH"},
                        },
                        "required": ["title"],
                    },
                    "Unit": {"type": "string", "enum": ["metric", "imperial"]},
                },
                "properties": {
                    "place": {"$ref": "#/$defs/Place", "description": "Where."},
                    "days": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 7,
                        "default": 1,
                        "description": "How many days.",
                    },
                    "unit": {"$ref": "#/$defs/Unit", "default": "metric"},
                    "since": {
                        "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                        "default": None,
                        "description": "The first day, or None for today.",
                    },
                    "detail": {"type": "string", "enum": ["low", "high"], "default": "low"},
                },
                "required": ["place"],
                "additionalProperties": False,
            },
        },
    }


def test_a_function_gets_values_of_its_types() -> None:
    assert run(Tool(forecast), '{"place": {"title": "Bern"}, "since": "2026-11-25", "unit": "imperial"}') == (
        "Bern CH 1 imperial 2026-11-25 low"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"place": {"country": "CHE"}, "days": 9, "colour": 1}', "place.title is required"),
        ('{"place": {"country": "CHE"}, "days": 9, "colour": 1}', "place.country: String should have at most 2 char"),
        ('{"place": {"country": "CHE"}, "days": 9, "colour": 1}', "days: Input should be less than or equal to 7"),
        ('{"place": {"country": "CHE"}, "days": 9, "colour": 1}', "there is no argument colour"),
        ('{"place": {"title": "Bern"', "Invalid JSON: EOF"),
        ("[1]", "they must be a JSON object"),
        ('"Bern"', "Arguments must be an array or an object"),
        ("  ", "place is required"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_the_validator_s_words(arguments: str, said: str) -> None:
    with pytest.raises(AskAgain) as caught:
        Tool(forecast).read(arguments)
    assert said in str(caught.value)
    assert str(caught.value).startswith("The arguments of forecast are wrong: ")
    assert str(caught.value).endswith(" Correct them and call forecast again.")


@pytest.mark.parametrize(
    "style",
    [
        "The sum.\n\nArgs:\n    a: The first.\n    b: The second.",
        "The sum.\n\n:param a: The first.\n:param b: The second.\n:returns: It.",
        "The sum.\n\nParameters\n----------\na : int\n    The first.\nb : int\n    The second.\n",
    ],
)
def test_each_style_of_docstring_is_read(style: str) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    add.__doc__ = style
    made = Tool(add)
    assert made.description == "The sum."
    assert [entry["description"] for entry in made.parameters["properties"].values()] == ["The first.", "The second."]


def test_a_docstring_that_its_parser_cannot_read_is_the_description() -> None:
    text = "A.\nParameters\n@param x: y\n  x\nArgs:\n  x: y\nArgs:\n\n::\n  :param x"

    def add(a: int) -> int:
        return a

    add.__doc__ = text
    assert Tool(add).description == text


def test_a_description_beside_the_type_takes_precedence_over_the_docstring() -> None:
    def add(  # noqa: D417 - not every parameter has a description
        a: Annotated[int, pydantic.Field(description="field")], b: Annotated[int, "remark"] = 1
    ) -> int:
        """The sum.

        Args:
            a: docstring
        """
        return a + b

    described = Tool(add).parameters["properties"]
    assert [described["a"]["description"], described["b"]["description"]] == ["field", "remark"]


def test_names_that_python_or_pydantic_use_themselves_are_arguments_like_others() -> None:
    def odd(schema: int, title: str, _x: int = 1, model_config: str = "", json: int = 0) -> list[Any]:
        return [schema, title, _x, model_config, json]

    made = Tool(odd)
    assert [*made.parameters["properties"]] == ["schema", "title", "_x", "model_config", "json"]
    assert run(made, '{"schema": 1, "title": "t", "model_config": "m"}') == '[1,"t",1,"m",0]'


def test_a_default_that_is_a_field_is_its_default() -> None:
    def page(number: int = pydantic.Field(3, ge=1, description="Which.")) -> int:
        return number

    assert Tool(page).parameters["properties"]["number"] == {
        "type": "integer",
        "minimum": 1,
        "default": 3,
        "description": "Which.",
    }
    assert run(Tool(page), "{}") == "3"


def test_the_context_is_no_argument_of_the_model() -> None:
    def who(context: ToolContext[dict[str, str]], /, name: str) -> str:
        return f"{context.deps[name]} {context.key}"

    made = Tool(who)
    assert [*made.parameters["properties"]] == ["name"]
    assert run(made, '{"name": "a"}', ToolContext(deps={"a": "Ada"}, key="k")) == "Ada k"


def test_a_parameter_without_a_name_for_callers_is_given_by_position() -> None:
    def power(base: int, exponent: int = 2, /, *, modulus: int = 1000) -> int:
        return int(base**exponent % modulus)

    assert run(Tool(power), '{"modulus": 7, "base": 3}') == "2"
    assert run(Tool(power), '{"exponent": 3, "base": 3}') == "27"


class Shop:
    """A shop."""

    def __init__(self, stock: dict[str, int]) -> None:
        self.stock = stock

    def left(self, article: str) -> int:
        """How many are left."""
        return self.stock[article]

    @tool(timeout=5, on_uncertain="retry")
    async def take(self, article: str, number: int = 1) -> int:
        """Take some."""
        self.stock[article] -= number
        return self.stock[article]

    @staticmethod
    @tool
    def hours(day: str) -> str:
        return f"{day}: 9 to 5"

    def __call__(self, article: str) -> bool:
        """Whether there is any."""
        return self.stock[article] > 0


def test_methods_partials_and_objects_that_can_be_called_are_tools() -> None:
    shop = Shop({"pen": 3})

    def price(article: str, currency: str, factor: int = 2) -> str:
        """The price."""
        return f"{article} {currency} {factor}"

    in_francs = tool(name="in_francs")(partial(price, currency="CHF"))
    tools = Toolset([shop.left, shop.take, shop.hours, shop, in_francs])
    assert tools.names == ["left", "take", "hours", "Shop", "in_francs"]
    assert [item.description for item in tools] == [
        "How many are left.",
        "Take some.",
        "",
        "Whether there is any.",
        "The price.",
    ]
    assert [[*item.parameters["properties"]] for item in tools] == [
        ["article"],
        ["article", "number"],
        ["day"],
        ["article"],
        ["article", "factor"],
    ]
    calls = ['{"article": "pen"}', '{"article": "pen", "number": 2}', '{"day": "Monday"}', '{"article": "pen"}']
    assert [run(item, text) for item, text in zip(tools, [*calls, '{"article": "pen"}'], strict=True)] == [
        "3",
        "1",
        "Monday: 9 to 5",
        "true",
        "pen CHF 2",
    ]
    taking = tools.get("take")
    assert taking is not None
    assert (taking.timeout, taking.on_uncertain) == (5, "retry")


def test_a_partial_that_binds_the_first_argument_hides_it() -> None:
    def find(database: dict[str, int], name: str) -> int:
        return database[name]

    made = tool(partial(find, {"a": 1}))
    assert made.name == "find"
    assert [*made.parameters["properties"]] == ["name"]
    assert run(made, '{"name": "a"}') == "1"


def test_annotations_may_name_classes_of_the_function_around() -> None:
    """As text, in a module with `from __future__ import annotations`."""

    class Local(pydantic.BaseModel):
        x: int

    def plain(value: Local) -> int:
        return value.x

    class Holder:
        @tool
        def method(self, value: Local) -> int:
            return value.x

    for made in Toolset([plain, Holder().method]):
        assert run(made, '{"value": {"x": 4}}') == "4"


@tool
def early(value: Later) -> int:
    return value.x


class Later(pydantic.BaseModel):
    x: int


def test_annotations_may_name_what_is_defined_later() -> None:
    assert run(early, '{"value": {"x": 5}}') == "5"


def test_a_type_that_only_type_checkers_know_is_refused_with_the_reason() -> None:
    @tool
    def pay(amount: Decimal) -> str:
        return str(amount)

    with pytest.raises(ConfigurationError, match=r"the tool pay cannot be read \(name 'Decimal' is not defined\)"):
        pay.definition()


def test_what_is_returned_may_be_a_type_that_only_type_checkers_know() -> None:
    def total(amounts: list[int]) -> Decimal:
        return cast("Decimal", sum(amounts))

    assert run(Tool(total), '{"amounts": [1, 2]}') == "3"


def many(city: str, **others: str) -> None: ...


def several(*cities: str) -> None: ...


def untyped(city, days: int = 1) -> None:  # type: ignore[no-untyped-def] # as users write it
    ...


def called_back(function: Callable[[int], int]) -> None: ...


def twice(a: ToolContext, b: ToolContext) -> None: ...


async def generator(city: str) -> Any:
    yield city


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (many, r"the tool many has the parameter \*\*others"),
        (several, r"the tool several has the parameter \*cities"),
        (untyped, "the parameter city of the tool untyped has no annotation"),
        (called_back, "the parameters of the tool called_back have a type that a model cannot write as JSON"),
        (twice, "two parameters for the ToolContext"),
        (generator, "is an async generator"),
        (lambda: None, "a tool cannot have the name '<lambda>'"),
        ("weather", "must be made of a function, not of 'weather'"),
        (Tool(forecast), "must be made of a function"),
    ],
)
def test_a_function_that_a_model_cannot_call_is_refused_where_it_is_given(function: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Tool(function)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"timeout": True}, "timeout must be a number"),
        ({"on_uncertain": "again"}, 'on_uncertain must be "ask", "retry", "key" or a function'),
        ({"max_result_tokens": 0}, "max_result_tokens must be a whole number of tokens, at least 1"),
        ({"name": "two words"}, "cannot have the name 'two words'"),
        ({"name": "a" * 65}, "cannot have the name"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        tool(**settings)(forecast)


def test_a_decorated_function_is_still_called_as_before() -> None:
    @tool
    def double(number: int) -> int:
        """Twice as much."""
        return 2 * number

    assert double(4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    assert repr(double) == "Tool('double')"


def test_strict_is_sent_only_where_it_is_set() -> None:
    assert "strict" not in Tool(forecast).definition()["function"]
    assert Tool(forecast, strict=True).definition()["function"]["strict"] is True


def test_what_is_returned_is_text_as_it_is_and_json_otherwise() -> None:
    values = ["text", Unit.METRIC, Place(title="Bern"), [dt.date(2026, 11, 25)], None, {"a": (1, 2.5)}, b"bytes"]

    def give(number: int) -> Any:
        return values[number]

    assert [run(Tool(give), f'{{"number": {number}}}') for number in range(len(values))] == [
        "text",
        '"metric"',
        '{"title":"Bern","country":"CH"}',
        '["2026-11-25"]',
        "null",
        '{"a":[1,2.5]}',
        '"bytes"',
    ]


def test_what_cannot_be_written_as_json_says_which_tool_returned_it() -> None:
    def give() -> object:
        return object()

    with pytest.raises(TypeError, match="the tool give returned object, which cannot be written as JSON"):
        run(Tool(give), "{}")


# -- a given schema --------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {
        "user-id": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
    },
    "$defs": {"tag": {"type": "string", "maxLength": 3}},
    "required": ["user-id"],
    "additionalProperties": False,
}


def test_a_tool_of_a_schema_gets_its_arguments_by_name() -> None:
    async def search(context: ToolContext, **arguments: Any) -> dict[str, Any]:
        return {"key": context.key, **arguments}

    made = Tool.from_schema("search", "Find users.", SCHEMA, search, timeout=3)
    assert made.definition()["function"] == {"name": "search", "description": "Find users.", "parameters": SCHEMA}
    assert made.timeout == 3
    assert run(made, '{"user-id": 3, "tags": ["a"]}', ToolContext(key="k")) == '{"key":"k","user-id":3,"tags":["a"]}'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"user-id": 0}', "user-id: 0 is less than the minimum of 1"),
        ("{}", "'user-id' is a required property"),
        ('{"user-id": 1, "tags": ["a", "long"]}', "tags[1]: 'long' is too long"),
        ('{"user-id": 1, "tags": ["a", "a"]}', "tags: ['a', 'a'] has non-unique elements"),
        ('{"user-id": 1, "more": 1}', "Additional properties are not allowed ('more' was unexpected)"),
        ('{"user-id": ', "Invalid JSON: EOF"),
        ("3", "they must be a JSON object"),
    ],
)
def test_arguments_are_validated_against_a_given_schema(arguments: str, said: str) -> None:
    made = Tool.from_schema("search", "", SCHEMA, lambda **arguments: arguments)
    with pytest.raises(AskAgain) as caught:
        made.read(arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array"}, "must be that of an object, not 'array'"),
        ({"properties": {"a": {"type": "int"}}}, "wrong at properties.a.type: 'int' is not valid"),
    ],
)
def test_a_wrong_schema_is_refused(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Tool.from_schema("search", "", schema, lambda **arguments: arguments)


def test_a_reference_to_another_document_is_not_fetched() -> None:
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    made = Tool.from_schema("search", "", schema, lambda **arguments: arguments)
    with pytest.raises(ConfigurationError, match="refers to http://127.0.0.1:9/schema.json, which is not part of it"):
        made.read('{"a": 1}')
