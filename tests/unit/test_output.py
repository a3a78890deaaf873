"""The type of an answer: its schema for the server, and what is read from the answer's text."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, StringConstraints
from typing_extensions import NotRequired, TypedDict

from tests.conftest import ROOT
from tframex.errors import ConfigurationError, OutputValidationError
from tframex.model import Output, sent_schema

T = TypeVar("T")


class Fruit(str, Enum):
    apple = "apple"
    pear = "pear"


class Size(IntEnum):
    small = 1
    large = 2


class Address(BaseModel):
    street: str
    zip_code: str = Field(alias="zipCode", pattern=r"^\d{5}$")


class User(BaseModel):
    """A user, as in pydantic's first example."""

    id: int
    name: str = "John Doe"
    signup_ts: datetime | None = Field(description="when they came", default=None)
    friends: list[int] = []
    address: Address | None = Field(default=None, description="where they live")


class Node(BaseModel):
    name: str
    children: list[Node] = []
    first: Node | None = Field(default=None, description="the first child")


class Cat(BaseModel):
    kind: Literal["cat"]
    meows: int


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: float


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Tags(RootModel[list[str]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Movie(TypedDict):
    name: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Part:
    number: int
    sizes: list[Size] = field(default_factory=list)


class Everything(BaseModel):
    day: date
    at: time
    takes: timedelta
    price: Decimal
    url: AnyUrl
    file: Path
    key: UUID
    host: IPv4Address
    code: Annotated[str, StringConstraints(min_length=2, max_length=4, to_upper=True)]
    share: Annotated[float, Field(gt=0, le=1)]
    seen: set[int]
    pair: tuple[int, str]
    counts: dict[str, int]
    anything: Any
    fixed: Literal[1, "two", None]
    flag: bool


EVERYTHING = Everything(
    day=date(2026, 11, 25),
    at=time(12, 30),
    takes=timedelta(minutes=5),
    price=Decimal("1.20"),
    url=AnyUrl("https://example.org/"),
    file=Path("a") / "b",
    key=UUID(int=7),
    host=IPv4Address("127.0.0.1"),
    code="AB",
    share=0.5,
    seen={1, 2},
    pair=(1, "one"),
    counts={"a": 1},
    anything=[1, {"x": None}],
    fixed="two",
    flag=True,
)

# Types as pydantic's documentation has them, and a value of each.
TYPES: list[tuple[Any, Any]] = [
    (User, User(id=1, friends=[2, 3], address=Address(street="Long", zipCode="12345"))),
    (Node, Node(name="a", children=[Node(name="b")], first=Node(name="b"))),
    (Owner, Owner(pet=Dog(kind="dog", barks=0.5))),
    (Cat | Dog, Cat(kind="cat", meows=3)),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Dog(kind="dog", barks=1)),
    (Open, Open.model_validate({"a": 1, "b": 2})),
    (Tags, Tags(["a", "b"])),
    (Box[int], Box[int](content=3)),
    (Box[list[Fruit]], Box[list[Fruit]](content=[Fruit.pear])),
    (Movie, {"name": "Alien"}),
    (Point, Point(1, 2)),
    (Part, Part(1, [Size.large])),
    (list[Part], [Part(1), Part(2)]),
    (dict[str, Part], {"a": Part(1)}),
    (Fruit, Fruit.apple),
    (Size, Size.large),
    (Literal["yes", "no"], "no"),
    (Literal["only"], "only"),
    (list[Movie], [{"name": "Alien", "year": 1979}]),
    (set[int], {1, 2, 3}),
    (tuple[int, str], (1, "a")),
    (int | str, "a"),
    (int | None, None),
    (Annotated[int, Field(ge=0)], 3),
    (str, 'He said: "no"\n'),
    (int, 12),
    (float, 1.5),
    (bool, True),
    (date, date(2026, 1, 2)),
    (Decimal, Decimal("2.50")),
    (Everything, EVERYTHING),
]


def name(value: Any) -> str:
    return getattr(value, "__name__", str(value))[:40]


@pytest.mark.parametrize(("output_type", "value"), TYPES, ids=name)
def test_a_value_of_any_type_comes_back_from_its_json(output_type: Any, value: Any) -> None:
    output: Output[Any] = Output.of(output_type)
    written = output.dump(value)
    text = json.dumps({"value": written} if output.wrapped else written)
    assert output.parse(text) == value
    assert type(output.parse(text)) is type(value)
    assert output.load(written) == value


def objects(schema: Any) -> Any:
    """All the objects with named properties in a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for item in schema.values():
            yield from objects(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from objects(item)


@pytest.mark.parametrize(("output_type", "value"), TYPES, ids=name)
def test_a_schema_is_closed_all_required_and_has_an_object_at_its_root(output_type: Any, value: Any) -> None:
    output: Output[Any] = Output.of(output_type)
    assert output.schema["type"] == "object"
    assert "$ref" not in output.schema
    for found in objects(output.schema):
        assert found["required"] == list(found["properties"])
        assert found["additionalProperties"] is not None
        assert not output.strict or found["additionalProperties"] is False
    shown = json.dumps(output.schema)
    for word in ("title", "uniqueItems", "oneOf", "discriminator", '"default"', "(?!"):
        assert f'"{word}"' not in shown


def test_a_type_that_openai_s_strict_form_cannot_say_is_not_sent_as_strict() -> None:
    output_type: Any
    for output_type in (dict[str, int], Any, Open, tuple[int, str], Box[Any]):
        assert not Output.of(output_type).strict, output_type
    for output_type in (User, Node, Owner, Cat | Dog, list[Movie], Fruit, set[int]):
        assert Output.of(output_type).strict, output_type


def test_what_a_grammar_refuses_is_left_out_noted_and_still_checked() -> None:
    output: Output[Any] = Output(Annotated[set[int], Field(min_length=2)])
    assert output.notes == ("uniqueItems is not sent, but checked in the answer",)
    assert output.schema["properties"]["value"] == {"items": {"type": "integer"}, "type": "array", "minItems": 2}
    with pytest.raises(OutputValidationError, match="at least 2"):
        output.parse('{"value": [1, 1]}')
    everything = Output(Everything).notes
    assert "format 'uri' is not sent, but checked in the answer" in everything
    assert "format 'path' is not sent, but checked in the answer" in everything


def test_a_pattern_that_no_automaton_knows_is_left_out() -> None:
    for pattern in (r"^(?!-)\d+$", r"(?<=a)b", r"(a)\1"):
        sent = sent_schema({"type": "string", "pattern": pattern})
        assert sent.schema == {"type": "string"}
        assert sent.notes == (f"pattern {pattern!r} is not sent, but checked in the answer",)
    assert sent_schema({"type": "string", "pattern": r"^(?:a|b)+\d{2}$"}).notes == ()


def test_further_keywords_can_be_left_out_of_what_is_sent() -> None:
    output: Output[Any] = Output(Address)
    sent = output.sent({"pattern"})
    assert "pattern" in json.dumps(output.schema)
    assert "pattern" not in json.dumps(sent.schema)
    assert sent.notes == (r"pattern '^\\d{5}$' is not sent, but checked in the answer",)


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    class Odd(BaseModel):
        title: str
        default: int
        pattern: str
        uniqueItems: bool  # noqa: N815 - a name that is a keyword of schemas

    assert list(Output(Odd).schema["properties"]) == ["title", "default", "pattern", "uniqueItems"]
    assert Output(Odd).notes == ()


def test_a_description_beside_a_reference_is_kept_even_in_a_type_that_contains_itself() -> None:
    assert '"the first child"' in json.dumps(Output(Node).schema)
    assert '"where they live"' in json.dumps(Output(User).schema)


def test_a_schema_of_one_s_own_is_written_as_one_of_a_type() -> None:
    sent = sent_schema({"$ref": "#/definitions/A", "definitions": {"A": {"type": "object", "properties": {"a": True}}}})
    assert sent.schema["properties"] == {"a": {}}
    assert not sent.strict
    assert sent_schema({"allOf": [{"type": "string", "format": "date"}], "title": "x"}).schema == {
        "type": "string",
        "format": "date",
    }


# -- reading an answer -----------------------------------------------------------------------------------------------

JSON = '{"name": "Alien", "year": 1979}'


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"\n\n{JSON}\n  \n",
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```\nI hope this helps!",
        f"Here it is:\n\n```json\n{JSON}\n```\n\nWith [1] brackets.",
        f"Sure! {JSON} That is it.",
        f"<think>\nA {{film}}? {{}}\n</think>\n\n{JSON}",
        f'The user wants {{"name": "Aliens"}}.\n</think>\n\n{JSON}',
        f"```json\n{JSON}",
        f"{JSON}\n{JSON}",
        f"A {{film}} in [brackets]: {JSON}",
    ],
)
def test_the_json_of_an_answer_is_found(text: str) -> None:
    assert Output(Movie).parse(text) == {"name": "Alien", "year": 1979}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "it is empty"),
        ("Alien, of 1979.", "it is not one JSON value"),
        (JSON[:-1], "it is not one JSON value"),
        (f'{{"films": [{JSON}], "count": 1', "it is not one JSON value"),
        (f'{{"films": [{JSON}], "count": one}}', "it is not one JSON value"),
        (f'{JSON} or {{"name": "Aliens"}}', "it is not one JSON value"),
        ('{"name": "Alien", "year": "soon"}', "year: Input should be a valid integer"),
        ('["Alien"]', "Input should be an object"),
        (f"<think>{JSON}", "it is not one JSON value"),
        ("[" * 100_000, "it is not one JSON value"),
    ],
)
def test_an_answer_of_another_form_is_an_error_that_says_what_is_wrong(text: str, error: str) -> None:
    with pytest.raises(OutputValidationError, match=error) as caught:
        Output(Movie).parse(text)
    assert caught.value.text == caught.value.partial == text
    assert error in caught.value.errors[0]
    assert "the answer is not of type Movie" in str(caught.value)


def test_all_that_is_wrong_is_listed() -> None:
    with pytest.raises(OutputValidationError, match=r"0\.number: .* \(and 1 more\)") as caught:
        Output(list[Part]).parse('{"value": [{"number": "x"}, {"number": 1, "sizes": [3]}]}')
    first, second = caught.value.errors
    assert first == "0.number: Input should be a valid integer, unable to parse string as an integer"
    assert second.startswith("1.sizes.0: Input should be 1 or 2")
    with pytest.raises(OutputValidationError) as caught:
        Output(list[int]).parse(json.dumps({"value": ["x"] * 100}))
    assert len(caught.value.errors) == 21
    assert caught.value.errors[-1] == "and 80 more"


def test_a_value_that_is_not_wrapped_as_asked_is_taken_where_it_fits() -> None:
    assert Output(list[int]).parse("[1, 2]") == [1, 2]
    assert Output(Fruit).parse("pear") is Fruit.pear
    assert Output(Literal["yes", "no"]).parse("no\n") == "no"
    assert Output(Cat | Dog).parse('{"kind": "cat", "meows": 1}') == Cat(kind="cat", meows=1)
    with pytest.raises(OutputValidationError, match="Input should be 'yes' or 'no'"):
        Output(Literal["yes", "no"]).parse("maybe")
    with pytest.raises(OutputValidationError, match="not one JSON value"):
        Output(str).parse("Some prose.")


@pytest.mark.parametrize("output_type", [Callable[[], int], object(), "NoSuchType", 7, Ellipsis])
def test_a_type_that_json_cannot_hold_is_refused(output_type: Any) -> None:
    with pytest.raises(ConfigurationError, match="output_type must be a type whose values JSON can hold"):
        Output.of(output_type)


def test_an_output_is_made_once_and_survives_pickling() -> None:
    assert Output.of(User) is Output.of(User)
    own: Output[User] = Output(User, name="the user!", describe=False)
    assert Output.of(own) is own
    assert own.name == "the_user"
    again = pickle.loads(pickle.dumps(own))  # noqa: S301 - our own bytes
    assert (again.name, again.schema, again.describe) == (own.name, own.schema, False)
    assert Output.of(Annotated[int, Field(examples=[1])]).parse('{"value": 1}') == 1


def test_a_type_is_named_as_people_write_it() -> None:
    class Inner(BaseModel):
        a: int

    names = [Output.of(kind).name for kind in (Inner, list[Inner], Literal["yes", "no"], Cat | Dog, int, Box[int])]
    assert names == ["Inner", "list_Inner", "Literal_yes_no", "Cat_Dog", "int", "Box_int"]


def test_the_instructions_show_the_schema() -> None:
    assert json.loads(Output(Movie).instructions().partition("\n")[2]) == Output(Movie).schema


def test_pydantic_is_imported_when_a_type_is_given() -> None:
    code = "import sys, tframex.model, tframex.agents; print('pydantic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).strip() == b"False"
