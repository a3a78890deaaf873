"""JSON values while their text grows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tframex.text import GrowingJSON

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


def pieces_of(text: str, sizes: list[int]) -> list[str]:
    pieces: list[str] = []
    while text:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def is_part_of(part: Any, whole: Any) -> bool:
    """Whether a value has grown into another."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and is_part_of(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) <= len(whole) and all(map(is_part_of, part, whole))
    if isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    return bool(part == whole)


@given(OBJECTS, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_however_the_text_is_cut_the_value_grows_into_the_complete_one(
    value: dict[str, Any], sizes: list[int], ascii_: bool, indent: int | None
) -> None:
    growing = GrowingJSON()
    seen: list[tuple[Any, Any]] = []
    for piece in pieces_of(json.dumps(value, ensure_ascii=ascii_, indent=indent), sizes):
        growing.feed(piece)
        part = growing.value()
        if part is not None:
            assert is_part_of(part, value)
            assert not seen or is_part_of(seen[-1][0], part)
            seen.append((part, copy.deepcopy(part)))
    assert growing.value() == value
    assert growing.closed
    assert all(part == then for part, then in seen), "what was returned has been changed"


@given(OBJECTS, st.text(max_size=9).filter(lambda text: "{" not in text), st.text(max_size=9))
def test_what_is_around_the_object_does_not_matter(value: dict[str, Any], before: str, after: str) -> None:
    growing = GrowingJSON()
    growing.feed(before + json.dumps(value) + after)
    assert growing.value() == value


@pytest.mark.parametrize("written", ["\\\\u12", "\\\\\\u0041", "a\\\\", "\\ud83d x", "\\\\ud83d"])
def test_a_backslash_before_a_u_is_not_always_an_escape(written: str) -> None:
    growing = GrowingJSON()
    for letter in f'{{"a": "{written}"}}':
        growing.feed(letter)
        growing.value()
        assert not growing.failed
    assert growing.value() == {"a": json.loads(f'"{written}"')}


def test_nothing_is_the_value_before_the_object_begins() -> None:
    growing = GrowingJSON()
    assert growing.value() is None
    growing.feed("Here it is: [")
    assert growing.value() is None
    growing.feed("{")
    assert growing.value() == {}


def test_a_string_is_shown_while_it_grows_and_a_number_when_it_is_complete() -> None:
    growing = GrowingJSON()
    shown = []
    for piece in ('{"a', '": "Li', "ne\\", "n\\u00", "e9", '", "b"', ": 1", "23", "}"):
        growing.feed(piece)
        shown.append(growing.value())
    a = "Line\né"
    growth = [{}, {"a": "Li"}, {"a": "Line"}, {"a": "Line\n"}]
    assert shown == [*growth, *[{"a": a}] * 4, {"a": a, "b": 123}]


def test_two_escapes_that_make_one_character_are_not_shown_by_halves() -> None:
    growing = GrowingJSON()
    for letter in '{"a": "\\ud83d\\ude00':
        growing.feed(letter)
        assert growing.value() in (None, {}, {"a": ""}, {"a": "\U0001f600"})
    assert growing.value() == {"a": "\U0001f600"}


def test_each_item_of_a_list_is_made_once_when_it_is_complete() -> None:
    made: list[Any] = []

    def make(item: Any) -> str:
        made.append(item)
        return f"<{item}>"

    growing = GrowingJSON({"rows": make})
    shown: list[Any] = []
    text = '{"rows": [{"rows": [1]}, 2, "three", [4]], "others": [{"a": 5}]}'
    for letter in text:
        growing.feed(letter)
        shown.append(growing.value())
    assert made == [{"rows": [1]}, 2, "three", [4]]
    assert growing.value() == {"rows": ["<{'rows': [1]}>", "<2>", "<three>", "<[4]>"], "others": [{"a": 5}]}
    assert {len(value["rows"]) for value in shown if value and "rows" in value} == {0, 1, 2, 3, 4}
    assert {"rows": growing.value()["rows"], "others": [{}]} in shown


def test_what_an_item_s_function_raises_reaches_the_reader() -> None:
    growing = GrowingJSON({"rows": int})
    growing.feed('{"rows": ["1", "x", ')
    growing.value()
    assert growing.failed  # a ValueError, as of what is no JSON

    def refuse(item: Any) -> None:
        raise RuntimeError(item)

    growing = GrowingJSON({"rows": refuse})
    growing.feed('{"rows": [1,')
    with pytest.raises(RuntimeError):
        growing.value()


@pytest.mark.parametrize("text", ["{1}", '{"a": [1}', '{"a": nope}', '{"a": 1]', '{"a": "\\x"}', "{]"])
def test_what_is_no_json_stops_growing(text: str) -> None:
    growing = GrowingJSON()
    growing.feed(f"{text} {{}}")
    growing.value()
    assert growing.failed
    assert not growing.closed


def test_white_space_that_runs_on_is_noticed_outside_of_strings() -> None:
    growing = GrowingJSON()
    growing.feed('{"a": 1,\n')
    for _ in range(10):
        assert not growing.runs_on(20)
        growing.feed(" \n")
    assert growing.runs_on(20)
    growing.feed('"b": "')
    growing.feed(" " * 99)
    assert not growing.runs_on(20)
    growing.feed('"}')
    assert not growing.runs_on(20)
    growing.feed("\n" * 21)
    assert growing.runs_on(20)
    assert growing.closed


def test_a_number_that_runs_on_is_noticed() -> None:
    growing = GrowingJSON()
    growing.feed('{"a": 1')
    for _ in range(200):
        growing.feed("000")
        growing.runs_on(400)
    assert growing.runs_on(400)


def test_text_after_the_object_is_noticed() -> None:
    growing = GrowingJSON()
    growing.feed('{"a": 1}\n```\nThis is')
    assert not growing.runs_on(600)
    growing.feed(" the answer." * 60)
    assert growing.runs_on(600)


@given(OBJECTS, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_each_change_of_the_value_is_counted_and_nothing_else(value: dict[str, Any], sizes: list[int]) -> None:
    growing = GrowingJSON({"rows": str})
    last, changes = None, 0
    for piece in pieces_of(json.dumps({**value, "rows": [[1, {"a": "b"}], "c"]}), sizes):
        growing.feed(piece)
        now = growing.value()
        assert (growing.changes > changes) == (now != last)
        last, changes = now, growing.changes
    hidden = growing.changes
    growing.feed(" ")
    growing.read()
    assert growing.changes == hidden


def test_what_is_inside_an_incomplete_item_is_no_change() -> None:
    growing = GrowingJSON({"rows": lambda item: item})
    changes = []
    for piece in ('{"rows"', ": [", '{"a": [1, ', '"text', 's"], "b": {', "}", "}", ', "half', '"'):
        growing.feed(piece)
        growing.read()
        changes.append(growing.changes)
    assert changes == [1, 2, 2, 2, 2, 2, 3, 3, 4]
    assert growing.value() == {"rows": [{"a": [1, "texts"], "b": {}}, "half"]}
