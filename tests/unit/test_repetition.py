"""Answers that go round in circles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT, USER, Colour
from tframex.errors import OutputValidationError
from tframex.model import VLLMModel
from tframex.testing import Answer, FakeVLLM
from tframex.text import RepetitionGuard

LOOP = "The ferry leaves at ten, and then it comes back. "


def feed(text: str, size: int, repeats: int = 4) -> int | None:
    guard = RepetitionGuard(repeats)
    for start in range(0, len(text), size):
        end = guard.feed(text[start : start + size])
        if end is not None:
            return end
    return None


@pytest.mark.parametrize("size", [1, 5, 40, 1000])
@pytest.mark.parametrize(
    "passage", [LOOP, "ha ", "x", "\n- item\n", "a long passage " * 12 + "ends. ", "one of many words " * 60 + ". "]
)
def test_a_loop_is_found_and_ends_before_its_second_copy(passage: str, size: int) -> None:
    start = "An introduction that is said once. "
    end = feed(start + passage * 420, size)
    assert end is not None
    assert len(start) < end <= len(start) + len(passage)


@given(passage=st.text("abcdef", min_size=1, max_size=80), size=st.integers(1, 30))
def test_any_passage_said_often_enough_is_a_loop(passage: str, size: int) -> None:
    assert feed("Begin. " + passage * (800 // len(passage) + 30), size) is not None


def test_texts_that_are_no_loops_pass() -> None:
    prose = (ROOT / "examples" / "longtext.txt").read_text(encoding="utf-8")
    table = "\n".join(f"| row {number} | value {number * 7} | yes |" for number in range(300))
    code = "\n".join(f"    if value == {number}:\n        return names[{number}]" for number in range(200))
    for text in (
        prose,
        table,
        code,
        LOOP * 3,
        "=" * 900,
        "| --- " * 200,
        "[0, 0, 0, 0, 0, 0, 0, 0]\n" * 9,
        str(2**9000),
    ):
        assert feed(text, 7) is None


def test_a_looping_answer_is_stopped_on_the_server(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", max_repeats=4)) as model:
            completion: Any = await model.call(USER, max_tokens=4000)
            assert completion.text == f"Well:\n{LOOP}"
            assert (completion.finish_reason, completion.evidence) == ("repetition", ("repetition",))
            assert len((await model.call(USER, max_tokens=400, max_repeats=None)).text) > 1000

    with FakeVLLM("Well:\n" + LOOP * 400, context_window=20_000, delay=0.0005) as server:
        colour.run(body)
        assert server.requests[0].tokens < 400


def test_reasoning_that_loops_is_stopped_and_one_of_several_answers_is_not(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", max_repeats=4, reasoning="separate")) as model:
            completion: Any = await model.call(USER, max_tokens=4000)
            assert (completion.finish_reason, completion.reasoning) == ("repetition", f"Well:\n{LOOP}")
            both = await model.call(USER, max_tokens=300, n=2)
            assert [choice.finish_reason for choice in both.choices] == ["length", "length"]

    with FakeVLLM(Answer("Yes.", "Well:\n" + LOOP * 400), context_window=20_000) as server:
        colour.run(body)


def test_a_typed_answer_that_loops_is_none(colour: Colour) -> None:
    """Not even where what there is of it looks like one."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", max_repeats=4)) as model:
            with pytest.raises(OutputValidationError, match="only repeated itself"):
                await model.call(USER, max_tokens=4000, output_type=list[int], max_output_retries=0)

    with FakeVLLM("[7]\n" + LOOP * 400, context_window=20_000, delay=0.0005) as server:
        colour.run(body)
