"""Agents with tools keep inside the window."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Colour
from tests.soak.turns import SERVERS, soak_turns
from tests.unit.test_tool_agent import PROMPT, RAIN, check_history, playing
from tframex import sync
from tframex.agents import ToolAgent
from tframex.errors import ContextLengthError
from tframex.events import ToolResult
from tframex.model import VLLMModel
from tframex.systems import MapReduceSystem
from tframex.testing import Answer, FakeVLLM
from tframex.tools import tool

LINES = "".join(f"Line {number}: rain in the morning, sun in the afternoon.\n" for number in range(400))
LOOK = Answer(calls=[("look", {"topic": "rain"})])


def look(topic: str) -> str:
    """What is known of a topic."""
    return LINES


def model_of(server: FakeVLLM, **settings: Any) -> VLLMModel:
    return VLLMModel("fake", server.url, "k", **settings)


@pytest.mark.parametrize("way", SERVERS)
def test_no_request_of_any_agent_is_refused(way: str) -> None:
    """`make soak` runs 2,000 of these."""
    figures = soak_turns(6, seed=3, way=way)
    assert figures.requests > 20
    assert figures.shortened > 5
    assert figures.refused == 0, figures


def test_a_result_is_cut_at_its_limit_with_a_note_that_says_so(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([LOOK, RAIN]), context_window=32_000) as server:
            short = tool(max_result_tokens=200)(look)
            agent = colour.make(ToolAgent("clerk", model_of(server), [short]))
            history: list[Any] = []
            events = [event async for event in agent.events(PROMPT, history=history)]
        [result] = [event for event in events if isinstance(event, ToolResult)]
        assert result.content == history[2]["content"]
        assert result.content.startswith("Line 0: rain")
        assert "[Cut: this is the beginning of a result of about" in result.content
        assert len(result.content) < 1200

    colour.run(body)


def test_a_result_larger_than_the_window_is_cut_to_a_part_of_it(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([LOOK, RAIN]), context_window=2000) as server:
            agent = colour.make(ToolAgent("clerk", model_of(server), [look]))
            history: list[Any] = []
            assert await agent.run(PROMPT, history=history) == "Rain, 12 degrees."
        assert "[Cut:" in history[2]["content"]
        assert len(history[2]["content"]) > 2000

    colour.run(body)


def test_a_result_that_is_too_long_is_read_with_the_question_in_mind(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([LOOK, RAIN]), context_window=2000) as server, FakeVLLM("Notes.") as reading:
            reader = MapReduceSystem("reader", model_of(reading))
            agent = colour.make(ToolAgent("clerk", model_of(server), [look], reader=reader))
            history: list[Any] = []
            events = [event async for event in agent.events(PROMPT, history=history)]
        assert PROMPT in str(reading.completions()[0].body)
        assert "Line 399" in str([record.body for record in reading.completions()])
        assert history[2]["content"] == "[The result was too long. What it says about the question:]\nNotes."
        assert [event.content for event in events if isinstance(event, ToolResult)] == [history[2]["content"]]

    colour.run(body)


def test_the_reader_of_a_synchronous_agent_is_synchronous() -> None:
    with FakeVLLM(playing([LOOK, RAIN]), context_window=2000) as server, FakeVLLM("Notes.") as reading:
        reader = sync.MapReduceSystem("reader", sync.VLLMModel("fake", reading.url, "k"))
        agent = sync.ToolAgent("clerk", sync.VLLMModel("fake", server.url, "k"), [look], reader=reader)
        assert agent.run(PROMPT) == "Rain, 12 degrees."
        assert reading.completions()


def test_older_results_are_shortened_before_the_window_is_full(colour: Colour) -> None:
    def page(number: int) -> str:
        """A page."""
        return f"Page {number}. " + LINES[:1500]

    script = [Answer(calls=[("page", {"number": number})]) for number in range(8)]

    async def body() -> None:
        with FakeVLLM(playing([*script, RAIN]), context_window=2000) as server:
            agent = colour.make(ToolAgent("clerk", model_of(server), [page]))
            history: list[Any] = []
            assert await agent.run(PROMPT, history=history) == "Rain, 12 degrees."
            assert all(record.tokens for record in server.completions())
            sent = [message for message in server.completions()[-1].body["messages"] if message["role"] == "tool"]
        assert "[Shortened" in sent[0]["content"]
        assert sent[0]["content"].startswith("Page 0.")
        assert "[Shortened" not in sent[-1]["content"]
        # What was read is all in the history.
        results = [message["content"] for message in history if message["role"] == "tool"]
        assert results == [page(number) for number in range(8)]
        check_history(history)

    colour.run(body)


def test_an_old_conversation_is_left_out_when_nothing_else_is(colour: Colour) -> None:
    old: list[Any] = []
    for number in range(60):
        old += [
            {"role": "user", "content": f"Question {number}: " + "what of the rain and the wind " * 4},
            {"role": "assistant", "content": f"Answer {number}: " + "it rains and it blows " * 4},
        ]

    async def body() -> None:
        with FakeVLLM("Rain.", context_window=2000) as server:
            agent = colour.make(ToolAgent("clerk", model_of(server), [look], system_prompt="Be brief."))
            history = list(old)
            assert await agent.run(PROMPT, history=history) == "Rain."
            [record] = server.completions()
            sent = record.body["messages"]
        assert sent[0]["content"] == "Be brief."
        assert sent[-1]["content"].startswith("[The beginning of this conversation was left out")
        assert sent[-1]["content"].endswith(PROMPT)
        assert "Answer 59" in str(sent)
        assert len(history) == len(old) + 2

    colour.run(body)


def test_a_window_that_only_a_refusal_reveals_is_learned(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([LOOK, RAIN]), context_window=3000, dialect="openai") as server:
            agent = colour.make(ToolAgent("clerk", model_of(server), [look]))
            assert await agent.run(PROMPT) == "Rain, 12 degrees."
            assert [bool(record.tokens) for record in server.completions()] == [True, False, True]

    colour.run(body)


def test_a_question_that_does_not_fit_is_an_error_before_any_request(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("Yes.", context_window=1000) as server:
            agent = colour.make(ToolAgent("clerk", model_of(server), [look]))
            with pytest.raises(ContextLengthError) as short:
                await agent.run("word " * 3000)
            assert short.value.status_code == 0
            assert not server.completions()

    colour.run(body)
