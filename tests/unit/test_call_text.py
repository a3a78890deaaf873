"""Calls read from text: for every split, with every cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tframex.completion import ToolCall
from tframex.model._action_text import ActionText
from tframex.model._call_ids import distinct, new_call_id
from tframex.model._call_text import CallText

WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
TRICKY = (
    '<tool_call>\n{"name": "write", "arguments": {"text": "a } b { \\" </tool_call> \\\\", "more": [{"x": "]}"}], '
    '"emoji": "\U0001f469‍\U0001f680 naïve 静"}}\n</tool_call>'
)


def read(pieces: list[str], *, truncated: bool = False) -> tuple[str, list[tuple[str, str]], str]:
    """The text, the calls and the cut rest of an answer that arrives in these pieces."""
    reader = CallText()
    out = [item for piece in pieces for item in reader.feed(piece)]
    out += reader.end(truncated=truncated)
    calls = [(item.name, item.arguments) for item in out if isinstance(item, ToolCall)]
    assert calls == [(call.name, call.arguments) for call in reader.calls]
    return "".join(item for item in out if isinstance(item, str)), calls, reader.cut


ANSWERS = [
    ("Just prose with < and <tool and <b>tags</b>.", []),
    (WEATHER, [("weather", '{"city": "Bern"}')]),
    (f"I will look.\n{WEATHER}", [("weather", '{"city": "Bern"}')]),
    (f"{WEATHER}\n{WEATHER}", [("weather", '{"city": "Bern"}')] * 2),
    (f"a {WEATHER} b {TRICKY}\n\n c", None),
    (TRICKY, None),
    ("<think>Should I use <tool_call>{}</tool_call>?</think>No.", []),
    (f"<think>hm</think>\n\n{WEATHER}", [("weather", '{"city": "Bern"}')]),
    ('<tool_call>{"name": "f", "arguments": {not json}}</tool_call>', [("", '{"name": "f", "arguments": {not json}}')]),
    ('<tool_call>{"name": "f", "arguments": {"a": "unclosed}}</tool_call> x', None),
    ('<tool_call>{"name": "f"}</tool_call>', [("f", "{}")]),
    ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', [("f", '{"a": 1}')]),
    ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', [("f", '{"a": 1}')]),
    ('<tool_call>{"name": "f", "arguments": {"a": "1\n2"}}</tool_call>', [("f", '{"a": "1\\n2"}')]),
    ('<tool_call>{"name": "f", "arguments": {}}', [("f", "{}")]),
    ('<tool_call>{"name": "f", "arguments": {}} prose', [("f", "{}")]),
]


@pytest.mark.parametrize(("answer", "calls"), ANSWERS)
def test_every_split_in_two_gives_the_same_text_and_calls(answer: str, calls: list[tuple[str, str]] | None) -> None:
    complete = read([answer])
    assert calls is None or complete[1] == calls
    assert complete[2] == ""
    for at in range(len(answer) + 1):
        assert read([answer[:at], answer[at:]]) == complete, at
    assert read(list(answer)) == complete


@given(st.data())
def test_any_split_gives_the_same_text_and_calls(data: st.DataObject) -> None:
    answer, _ = data.draw(st.sampled_from(ANSWERS))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    assert read([answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]) == read([answer])


def test_the_arguments_are_what_the_model_wrote() -> None:
    _, [(name, arguments)], _ = read([TRICKY])
    assert name == "write"
    assert json.loads(arguments)["text"] == 'a } b { " </tool_call> \\'
    assert "\U0001f469‍\U0001f680 naïve 静" in arguments


@pytest.mark.parametrize("at", range(2, len(TRICKY) - len("\n</tool_call>")))
def test_markup_that_is_cut_off_is_never_text(at: int) -> None:
    text, calls, cut = read(list("Look: " + TRICKY[:at]), truncated=True)
    assert (text, calls) == ("Look: ", [])
    assert cut == TRICKY[:at]


def test_a_call_that_lacks_nothing_but_its_closing_tag_is_complete() -> None:
    for at in range(len(TRICKY) - len("\n</tool_call>"), len(TRICKY) + 1):
        text, calls, cut = read(list(TRICKY[:at]), truncated=True)
        assert (text, len(calls), cut) == ("", 1, ""), at


def test_what_looks_like_a_tag_at_the_end_of_a_complete_answer_is_text() -> None:
    assert read(["a <tool"]) == ("a <tool", [], "")
    assert read(["a <"], truncated=True) == ("a <", [], "")


@given(st.text(max_size=60))
def test_text_without_a_tag_is_only_text(text: str) -> None:
    assert read(list(text)) == (text, [], "")


def test_ids_made_here_are_distinct_and_take_the_form_that_every_template_accepts() -> None:
    ids = {new_call_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(id_) == 9 and id_.isascii() and id_.isalnum() for id_ in ids)


def test_the_same_call_twice_in_one_answer_is_one_call() -> None:
    twice = [
        ToolCall(0, "a", "pay", '{"x": 1}'),
        ToolCall(1, "a", "pay", '{"x": 1}'),
        ToolCall(2, "b", "pay", '{"x": 1}'),
    ]
    assert [call.id for call in distinct(twice)] == ["a", "b"]


def test_other_calls_with_the_same_id_or_none_get_one_of_their_own() -> None:
    calls = distinct(
        [ToolCall(0, "a", "pay", "{}"), ToolCall(0, "a", "look", "{}"), ToolCall(0, "", "look", "{}")], ["a"]
    )
    assert [call.name for call in calls] == ["pay", "look", "look"]
    assert len({call.id for call in calls} | {"a"}) == 4
    assert [call.index for call in calls] == [0, 1, 2]


CALLS = '{"calls": [{"name": "weather", "arguments": {"city": "Bern"}}]}'


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (f"```json\n{CALLS}\n```", ""),
        (f"```\n{CALLS}\n```\nI will look.", "I will look."),
        (f"{CALLS}\nI will look.", "I will look."),
        (f"<think>hm</think>\n\n{CALLS}<|im_end|>", ""),
    ],
)
def test_an_action_in_a_fence_or_before_a_sentence_is_no_answer(written: str, text: str) -> None:
    reader = ActionText()
    reader.feed(written)
    call, *rest = reader.end()
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments, "".join(map(str, rest)), reader.cut) == ("weather", '{"city": "Bern"}', text, "")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"answer": "He said "hi" to me"}', 'He said "hi" to me'),
        ('```json\n{"answer": "He said "hi""}\n```', 'He said "hi"'),
        ('```json\n{"answer": "Rain."}\n```', "Rain."),
        ('{"calls": [], "answer": "Rain."}', "Rain."),
        ('{"answer": "Rain."} is what it would say.', '{"answer": "Rain."} is what it would say.'),
    ],
)
def test_an_answer_in_an_action_that_is_wrong_is_not_lost(written: str, text: str) -> None:
    reader = ActionText()
    reader.feed(written)
    assert (reader.end(), reader.calls, reader.cut) == ([text], [], "")
