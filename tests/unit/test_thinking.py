"""Which part of an answer is a thought."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tframex.text import ThoughtFilter, strip_thinking

MENTIONS = [
    "Reasoning models write <think> before they answer.",
    "It ends with </think> and then the answer follows.",
    "Use `<think>...</think>` for thoughts, `</think>` alone closes them.",
    "The template:\n\n```xml\n<think>\nhm\n</think>\n\nanswer\n```\nThat is all.",
    "Only the end of it:\n\n```\n</think>\n\nanswer\n```\nThat is all.",
    "~~~\n</think>\n\n~~~",
    "First <think>a</think>, then <think>b</think>.",
    "</think>",
    "The tag is\n</think>\nand nothing else.",
]


@pytest.mark.parametrize("text", MENTIONS)
def test_an_answer_that_mentions_the_tags_stays_complete(text: str) -> None:
    assert strip_thinking(text) == text
    assert filtered([text]) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a</think>b", "b"),
        ("  \n<think>\na\n</think>\n\nb ", "b"),
        ("<think>\n\n</think>\n\nb", "b"),
        ("<think>a", ""),
        ("<think>a</think>", ""),
        ("a", "a"),
        ("<think>a</think>b <think>c</think> d", "b <think>c</think> d"),
        ("<think>a</think>It says </think>\n\nhere.", "It says </think>\n\nhere."),
    ],
)
def test_a_thought_at_the_very_beginning_is_left_out(text: str, left: str) -> None:
    assert strip_thinking(text) == left
    assert filtered([text]) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("I wonder.\n</think>\n\nBlue.", "Blue."),
        ("I wonder.\r\n</think>\r\n\r\nBlue.", "Blue."),
        ("\n</think>\n\nBlue.", "Blue."),
        ("I wonder.\n</think>\n\n", ""),
        ("```py\nx = 1\n```\nSo it is 1.\n</think>\n\nBlue, as </think>\n\nsays.", "Blue, as </think>\n\nsays."),
    ],
)
def test_a_thought_that_the_template_has_opened_ends_with_a_tag_on_its_own_line_and_a_blank_one(
    text: str, left: str
) -> None:
    """The evidence of a beginning that is missing, as DeepSeek's and Qwen's models write it."""
    assert strip_thinking(text) == left


@pytest.mark.parametrize(("text", "left"), [("a</think>b", "b"), ("a", ""), ("<think>a</think>b</think>", "b</think>")])
def test_where_it_is_known_that_the_template_opens_the_thought_the_first_end_is_its_end(text: str, left: str) -> None:
    assert strip_thinking(text, opened=True) == left
    assert filtered([text], opened=True) == left


def test_where_it_is_known_that_nothing_is_opened_an_end_is_text() -> None:
    assert strip_thinking("a\n</think>\n\nb", opened=False) == "a\n</think>\n\nb"


PIECES = st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "\n", " ", "a", "b c"]), max_size=12)


@given(PIECES, st.booleans())
def test_a_stream_leaves_out_the_same_in_whatever_pieces_it_comes(pieces: list[str], opened: bool) -> None:
    assert filtered(pieces, opened=opened) == strip_thinking("".join(pieces), opened=opened)


def filtered(pieces: list[str], *, opened: bool = False) -> str:
    thoughts = ThoughtFilter(opened=opened)
    return "".join(thoughts.feed(piece) for piece in pieces) + thoughts.finish()
