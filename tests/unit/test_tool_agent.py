"""An agent that calls tools, against servers that send the bytes which mislead others."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel as Schema

from tests.conftest import Colour
from tests.unit.test_acting import SERVERS
from tframex import sync
from tframex.agents import BasicAgent, ToolAgent
from tframex.completion import ToolCall
from tframex.errors import (
    ConfigurationError,
    OutputValidationError,
    RunLimitError,
    StreamInterruptedError,
    ToolError,
)
from tframex.events import (
    CallStarted,
    OutputPiece,
    RunFinished,
    StepFinished,
    TextPiece,
    ToolCallPiece,
    ToolResult,
    ToolStarted,
)
from tframex.model import VLLMModel
from tframex.testing import Answer, FakeVLLM, Fault
from tframex.tools import AskAgain, ToolContext, tool

PROMPT = "What is the weather in Bern?"
RAIN = Answer("Rain, 12 degrees.")
CALL = Answer(calls=[("weather", {"city": "Bern"})])


class Forecast(Schema):
    """A forecast."""

    city: str
    degrees: int


def weather(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain, 12 degrees"


async def clock(city: str) -> str:
    """The time in a city."""
    return f"{city}: noon"


def playing(answers: Iterable[Any]) -> Callable[[Mapping[str, Any]], str | Answer]:
    """Answers in order, by how many answers the conversation has already."""
    script = list(answers)
    return lambda request: script[_answers(request)]


def _answers(request: Mapping[str, Any]) -> int:
    return sum(message["role"] == "assistant" for message in request["messages"])


def agent_of(colour: Colour, server: FakeVLLM, tools: Any = (weather, clock), **settings: Any) -> Any:
    model = VLLMModel("fake", server.url, "k", **settings.pop("model", {}))
    return colour.make(ToolAgent("clerk", model, tools, **settings))


def check_history(history: list[Any]) -> None:
    """An API takes it: each call has its result, and each result its call, in their order."""
    waiting: list[str] = []
    for message in history:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert not waiting
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
            for call in message.get("tool_calls") or ():
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert not waiting


# -- the loop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SERVERS)
def test_the_same_program_works_on_every_server(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN]), **SERVERS[way]) as server:
            agent = agent_of(colour, server, system_prompt="Be brief.")
            history: list[Any] = []
            assert await agent.run(PROMPT, history=history) == "Rain, 12 degrees."
            last = server.completions()[-1].body["messages"]
        check_history(history)
        assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"]
        assert "Bern: rain, 12 degrees" in last[-1]["content"]
        assert last[0]["content"].startswith("Be brief.")

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_a_run_emits_what_happens_in_order(colour: Colour, way: str) -> None:
    script = [Answer("I look.", calls=[("weather", {"city": "Bern"}), ("clock", {"city": "Bern"})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script), **SERVERS[way]) as server:
            events = [event async for event in agent_of(colour, server).events(PROMPT)]
        kinds = [type(event) for event in events if not isinstance(event, (TextPiece, ToolCallPiece))]
        started = kinds[2:6]
        assert kinds[:2] == [CallStarted, StepFinished]
        assert sorted(kind.__name__ for kind in started) == ["ToolResult"] * 2 + ["ToolStarted"] * 2
        assert kinds[6:] == [CallStarted, StepFinished, RunFinished]
        first, second = (event.completion for event in events if isinstance(event, StepFinished) and event.completion)
        assert first.usage
        assert second.usage
        assert [call.name for call in first.tool_calls] == ["weather", "clock"]
        assert second.text == "Rain, 12 degrees."
        results = {event.call.id: event.content for event in events if isinstance(event, ToolResult)}
        assert [results[call.id] for call in first.tool_calls] == ["Bern: rain, 12 degrees", "Bern: noon"]
        assert {event.step for event in events if hasattr(event, "step")} == {"1", "2"}
        assert any(isinstance(event, ToolStarted) for event in events)
        finished = events[-1].result
        assert finished.text == "Rain, 12 degrees."
        assert finished.usage.prompt_tokens == first.usage.prompt_tokens + second.usage.prompt_tokens

    colour.run(body)


def test_parallel_calls_run_together_and_their_results_keep_the_order(colour: Colour) -> None:
    both = threading.Barrier(2, timeout=30)

    def slow(name: str) -> str:
        """Wait for the other one."""
        both.wait()
        return f"{name} is here"

    script = [Answer(calls=[("slow", {"name": "a"}), ("slow", {"name": "b"})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script)) as server:
            history: list[Any] = []
            await agent_of(colour, server, [slow]).run(PROMPT, history=history)
        check_history(history)
        assert [message["content"] for message in history if message["role"] == "tool"] == ["a is here", "b is here"]

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_an_answer_has_its_type_after_a_tool(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, Answer('{"city": "Bern", "degrees": 12}')]), **SERVERS[way]) as server:
            forecast = await agent_of(colour, server).run(PROMPT, output_type=Forecast)
            assert forecast == Forecast(city="Bern", degrees=12)
            completion = await agent_of(colour, server, output_type=Forecast).complete(PROMPT)
            assert completion.output == forecast

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_a_stream_of_a_typed_agent_shows_the_value_while_it_grows(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, Answer('{"city": "Bern", "degrees": 12}')]), **SERVERS[way]) as server:
            agent = agent_of(colour, server, output_type=Forecast)
            pieces = [piece async for piece in agent.stream(PROMPT)]
            last = [event.value async for event in agent.events(PROMPT) if isinstance(event, OutputPiece)]
            asked = [event async for event in agent.events(PROMPT, restart=True) if isinstance(event, OutputPiece)]
        assert pieces[-2:] == [{"city": "Bern", "degrees": 12}, Forecast(city="Bern", degrees=12)]
        # One JSON action shows only at its end what it is.
        assert ({"city": "Bern"} in pieces) == (way != "action")
        assert last == pieces[:-1]
        assert asked == []

    colour.run(body)


def test_what_a_model_writes_before_a_call_is_no_value(colour: Colour) -> None:
    before = Answer('I look: {"city": "Basel"}', calls=[("weather", {"city": "Bern"})])

    async def body() -> None:
        with FakeVLLM(playing([before, Answer('{"city": "Bern", "degrees": 12}')])) as server:
            agent = agent_of(colour, server, output_type=Forecast)
            events = [event async for event in agent.events(PROMPT)]
        assert {event.step for event in events if isinstance(event, OutputPiece)} == {"2"}

    colour.run(body)


@pytest.mark.parametrize("way", ["native", "openai"])
def test_a_value_starts_over_with_an_answer_that_broke_off(colour: Colour, way: str) -> None:
    async def body() -> None:
        said = Answer('{"city": "Bern", "degrees": 12}')
        with FakeVLLM(playing([CALL, said]), faults=[None, Fault.end(1300)], **SERVERS[way]) as server:
            agent = agent_of(colour, server, output_type=Forecast)
            pieces = [piece async for piece in agent.stream(PROMPT)]
            assert len(server.completions()) == 3
        begun = [piece for piece in pieces[:-1] if piece == {}]
        assert len(begun) == 2
        assert pieces[-1] == Forecast(city="Bern", degrees=12)

    colour.run(body)


def test_an_item_of_a_wrong_type_ends_the_growth_and_is_corrected(colour: Colour) -> None:
    wrong = Answer('{"value": [{"city": 7, "degrees": "x"}, {"city": "Bern", "degrees": 12}]}')
    right = Answer('{"value": [{"city": "Bern", "degrees": 12}]}')

    async def body() -> None:
        with FakeVLLM(playing([wrong, right])) as server:
            agent = agent_of(colour, server, output_type=list[Forecast])
            pieces = [piece async for piece in agent.stream(PROMPT)]
        assert pieces[-1] == [Forecast(city="Bern", degrees=12)]
        assert all(not piece or piece == pieces[-1] for piece in pieces)

    colour.run(body)


def test_a_synchronous_agent_works_inside_a_running_event_loop() -> None:
    """As in a Jupyter notebook."""
    with FakeVLLM(playing([CALL, RAIN])) as server:
        agent = sync.ToolAgent("clerk", sync.VLLMModel("fake", server.url, "k"), [weather, clock])

        async def cell() -> str:
            assert [event for event in agent.events(PROMPT) if isinstance(event, ToolResult)]
            return str(agent.run(PROMPT))

        assert asyncio.run(cell()) == "Rain, 12 degrees."


def test_tools_get_what_the_run_was_given(colour: Colour) -> None:
    found: list[ToolContext[Any]] = []

    def weather(context: ToolContext[Any], city: str) -> str:
        """The forecast."""
        found.append(context)
        return city

    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN])) as server:
            await agent_of(colour, server, [weather]).run(PROMPT, deps={"user": 7})
        assert (found[-1].deps, found[-1].step, found[-1].call.name) == ({"user": 7}, "1", "weather")
        assert found[-1].run_id
        assert found[-1].key

    colour.run(body)


def test_a_choice_of_tool_is_for_the_first_answer_alone(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN])) as server:
            await agent_of(colour, server).run(PROMPT, tool_choice="weather")
            choices = [record.body.get("tool_choice") for record in server.completions()]
        assert choices == [{"type": "function", "function": {"name": "weather"}}, None]

    colour.run(body)


def test_the_choices_of_several_answers_are_given_in_order(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN])) as server:
            await agent_of(colour, server).run(PROMPT, tool_choice=["required", "none"])
            assert [record.body.get("tool_choice") for record in server.completions()] == ["required", "none"]

    colour.run(body)


def test_a_history_is_continued(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN, "Take an umbrella."])) as server:
            history: list[Any] = []
            agent = agent_of(colour, server)
            await agent.run(PROMPT, history=history)
            assert await agent.run("What should I take?", history=history) == "Take an umbrella."
        assert len(history) == 6
        check_history(history)

    colour.run(body)


# -- what goes wrong elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SERVERS)
@pytest.mark.parametrize("limit", [1, 4, 9, 14, 22])
def test_a_call_that_is_cut_off_is_an_error_that_says_which_limit(colour: Colour, way: str, limit: int) -> None:
    cut = Answer(calls=[("weather", {"city": "a name without an end " * 20})])

    async def body() -> None:
        with FakeVLLM(lambda _: cut, **SERVERS[way]) as server:
            history: list[Any] = []
            with pytest.raises(RunLimitError, match=rf"max_tokens={limit}") as stopped:
                await agent_of(colour, server).run(PROMPT, history=history, max_tokens=limit)
        assert stopped.value.limit == "max_tokens"
        assert stopped.value.history == history
        check_history(history)

    colour.run(body)


def test_markup_that_is_cut_off_is_never_the_answer(colour: Colour) -> None:
    """As a vLLM sends it that was not asked for a stream, and whatever passes content on."""
    markup = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern'

    async def body() -> None:
        with (
            FakeVLLM(f"I look. {markup}" + " and Bern" * 40) as server,
            pytest.raises(RunLimitError, match="in the middle of a call of weather"),
        ):
            await agent_of(colour, server).run(PROMPT, max_tokens=40)

    colour.run(body)


def test_the_same_id_twice_runs_once(colour: Colour) -> None:
    ran: list[str] = []

    def pay(amount: int) -> str:
        """Pay."""
        ran.append("paid")
        return "paid"

    call = ToolCall(0, "call-1", "pay", '{"amount": 5}')
    script = [Answer(calls=[call, ToolCall(1, "call-1", "pay", '{"amount": 5}')]), RAIN]

    async def body() -> None:
        ran.clear()
        with FakeVLLM(playing(script)) as server:
            history: list[Any] = []
            await agent_of(colour, server, [pay]).run(PROMPT, history=history)
        assert ran == ["paid"]
        check_history(history)

    colour.run(body)


def test_ids_that_a_server_uses_again_in_each_answer_are_told_apart(colour: Colour) -> None:
    call = Answer(calls=[ToolCall(0, "call-0", "weather", '{"city": "Bern"}')])

    async def body() -> None:
        with FakeVLLM(playing([call, call, RAIN])) as server:
            history: list[Any] = []
            await agent_of(colour, server).run(PROMPT, history=history)
        ids = [message["tool_call_id"] for message in history if message["role"] == "tool"]
        assert len(set(ids)) == 2
        check_history(history)

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_an_unknown_tool_and_wrong_arguments_are_told_to_the_model(colour: Colour, way: str) -> None:
    script: list[str | Answer] = [
        Answer(calls=[("weathr", {"city": "Bern"}), ("weather", {"town": 5})]),
        Answer(calls=[ToolCall(0, "", "weather", '{"city": }')]),
        RAIN,
    ]
    script = script if way != "action" else [script[0], RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script), **SERVERS[way]) as server:
            history: list[Any] = []
            assert await agent_of(colour, server).run(PROMPT, history=history) == "Rain, 12 degrees."
        results = [message["content"] for message in history if message["role"] == "tool"]
        assert results[0].startswith("There is no tool 'weathr'. The tools are: weather, clock.")
        assert "city" in results[1]
        check_history(history)

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_prose_where_a_type_was_asked_for_is_asked_again(colour: Colour, way: str) -> None:
    script = [CALL, "It rains in Bern.", '{"city": "Bern", "degrees": 12}']

    async def body() -> None:
        with FakeVLLM(playing(script), **SERVERS[way]) as server:
            history: list[Any] = []
            forecast = await agent_of(colour, server).run(PROMPT, output_type=Forecast, history=history)
        assert forecast == Forecast(city="Bern", degrees=12)
        assert history[-2]["role"] == "user"
        assert "degrees" in history[-2]["content"]
        check_history(history)

    colour.run(body)


def test_prose_that_stays_prose_is_an_error_with_the_text(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("It rains.") as server:
            with pytest.raises(OutputValidationError) as wrong:
                await agent_of(colour, server, max_output_retries=1).run(PROMPT, output_type=Forecast)
            assert len(server.completions()) == 2
        assert wrong.value.text == "It rains."

    colour.run(body)


def test_a_typed_answer_that_is_cut_off_never_validates_by_luck(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("12 3 4 5 6 7 8 9") as server, pytest.raises(OutputValidationError, match="cut off"):
            await agent_of(colour, server).run(PROMPT, output_type=int, max_tokens=2)

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_text_before_a_call_is_never_streamed_as_the_answer(colour: Colour, way: str, tmp_path: Path) -> None:
    script = [Answer("Let me look that up.", calls=[("weather", {"city": "Bern"})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script), **SERVERS[way]) as server:
            agent = agent_of(colour, server)
            assert "".join([piece async for piece in agent.stream(PROMPT)]) == "Rain, 12 degrees."
            path = tmp_path / f"{colour.name}.txt"
            completion = await agent.stream_to_file(PROMPT, path)
            assert path.read_text(encoding="utf-8") == "Rain, 12 degrees." == completion.text
            pieces = [event async for event in agent.events(PROMPT) if isinstance(event, TextPiece)]
        before = "".join(piece.text for piece in pieces if piece.step == "1")
        assert before.strip() == ("" if way == "action" else "Let me look that up.")

    colour.run(body)


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "settings"),
    [
        ("max_steps", {"max_steps": 3}),
        ("max_tool_calls", {"max_tool_calls": 3}),
        ("max_run_tokens", {"max_run_tokens": 90}),
    ],
)
def test_a_limit_is_an_error_with_a_history_that_can_be_sent_again(
    colour: Colour, limit: str, settings: dict[str, int]
) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: CALL) as server:
            with pytest.raises(RunLimitError, match=limit) as stopped:
                await agent_of(colour, server, **settings).run(PROMPT)
            assert len(server.completions()) < 6
        assert stopped.value.limit == limit
        assert stopped.value.usage.total_tokens > 0
        check_history(stopped.value.history)
        with FakeVLLM(RAIN) as server:
            assert await agent_of(colour, server).run("And now?", history=stopped.value.history) == "Rain, 12 degrees."

    colour.run(body)


def test_seconds_are_a_limit_for_the_model(colour: Colour) -> None:
    async def body() -> None:
        with (
            FakeVLLM("one two three four " * 50, delay=0.05) as server,
            pytest.raises(RunLimitError, match=r"0\.2 seconds"),
        ):
            await agent_of(colour, server, max_seconds=0.2).run(PROMPT)

    colour.run(body)


def test_seconds_are_a_limit_for_tools(colour: Colour) -> None:
    async def weather(city: str) -> str:
        """Wait for the weather to change."""
        await anyio.sleep_forever()
        return city

    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN])) as server:
            history: list[Any] = []
            with pytest.raises(RunLimitError, match="max_seconds"):
                await agent_of(colour, server, [weather], max_seconds=2).run(PROMPT, history=history)
        check_history(history)
        assert "stopped before it had ended" in history[-1]["content"]

    colour.run(body)


def test_wrong_settings_are_refused_before_any_request(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM() as server:
            for settings, said in (
                ({"tools": []}, "BasicAgent"),
                ({"max_steps": 0}, "max_steps"),
                ({"max_seconds": -1}, "max_seconds"),
                ({"max_run_tokens": 0}, "max_run_tokens"),
                ({"reader": "a text"}, "reader"),
            ):
                with pytest.raises(ConfigurationError, match=said):
                    agent_of(colour, server, **settings)
            with pytest.raises(ConfigurationError, match="the constructor of ToolAgent"):
                await agent_of(colour, server).run(PROMPT, max_steps=3)
            with pytest.raises(ConfigurationError, match="choice"):
                await agent_of(colour, server).run(PROMPT, tool_choice="nothing")
            assert not server.completions()

    colour.run(body)


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_tool_that_fails_ends_the_run_and_leaves_a_history_without_open_calls(colour: Colour) -> None:
    def weather(city: str) -> str:
        """The forecast."""
        raise RuntimeError("the barometer fell down")

    async def body() -> None:
        with FakeVLLM(
            playing([Answer(calls=[("clock", {"city": "Bern"}), ("weather", {"city": "Bern"})]), RAIN])
        ) as server:
            history: list[Any] = []
            with pytest.raises(ToolError, match="the barometer fell down"):
                await agent_of(colour, server, [weather, clock]).run(PROMPT, history=history)
        check_history(history)
        assert len(history) == 4

    colour.run(body)


def test_a_tool_may_ask_the_model_to_correct_itself(colour: Colour) -> None:
    @tool(on_uncertain="retry")
    def weather(city: str) -> str:
        """The forecast."""
        if city == "Bern":
            raise AskAgain("Which Bern: in Switzerland or in Indiana?")
        return "rain"

    script = [CALL, Answer(calls=[("weather", {"city": "Bern, Indiana"})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script)) as server:
            events = [event async for event in agent_of(colour, server, [weather]).events(PROMPT)]
        results = [event for event in events if isinstance(event, ToolResult)]
        assert [(result.failed, result.content) for result in results] == [
            (True, "Which Bern: in Switzerland or in Indiana?"),
            (False, "rain"),
        ]

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelling_stops_tools_and_leaves_a_history_that_can_be_sent_again(backend: str) -> None:
    running: list[anyio.Event] = []
    stopped: list[str] = []
    history: list[Any] = []

    async def forever(city: str) -> str:
        """Never return."""
        running[0].set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(city)
        return city

    async def body() -> None:
        running.append(anyio.Event())
        script = [Answer(calls=[("clock", {"city": "Bern"}), ("forever", {"city": "Bern"})]), RAIN]
        with FakeVLLM(playing(script)) as server:
            agent = agent_of(Colour(backend), server, [forever, clock])
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: agent.run(PROMPT, history=history))
                await running[0].wait()
                group.cancel_scope.cancel()
            await agent.model.close_client()
            assert stopped == ["Bern"]
            check_history(history)
            assert [message["content"] for message in history if message["role"] == "tool"] == [
                "Bern: noon",
                "The call was stopped before it had ended; it may have taken effect or not.",
            ]
            again = agent_of(Colour(backend), server, [forever, clock])
            assert await again.run("And?", history=history) == "Rain, 12 degrees."
            await again.model.close_client()

    anyio.run(body, backend=backend)


def test_leaving_the_events_stops_the_server(colour: Colour) -> None:
    async def body() -> None:
        events = agent_of(colour, server).events(PROMPT)
        async for event in events:
            if isinstance(event, TextPiece):
                break
        await events.aclose()

    with FakeVLLM("one two three four " * 500, delay=0.01) as server:
        colour.run(body)
        deadline = time.monotonic() + 5
        while server.completions()[0].hung_up is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert server.completions()[0].hung_up is not None


def test_an_answer_that_breaks_off_is_not_run_and_starts_over_where_nobody_saw_it(
    colour: Colour, no_wait: None
) -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        """The forecast."""
        ran.append(city)
        return "rain"

    async def body() -> None:
        for at in (300, 700, 900):
            ran.clear()
            with FakeVLLM(playing([CALL, RAIN]), faults=[Fault.end(at)]) as server:
                completion = await agent_of(colour, server, [weather]).complete(PROMPT)
            assert (completion.text, ran, completion.retries) == ("Rain, 12 degrees.", ["Bern"], 1)

    colour.run(body)


def test_an_answer_that_breaks_off_while_it_is_shown_is_an_error(colour: Colour, no_wait: None) -> None:
    async def body() -> None:
        with FakeVLLM(playing([CALL, RAIN]), faults=[Fault.end(700)]) as server:
            history: list[Any] = []
            with pytest.raises(StreamInterruptedError):
                async for _ in agent_of(colour, server).events(PROMPT, history=history):
                    pass
        check_history(history)

    colour.run(body)


def test_a_tool_can_be_another_agent(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("rain") as below, FakeVLLM(playing([CALL, RAIN])) as server:
            expert = BasicAgent("expert", VLLMModel("fake", below.url, "k"))

            async def weather(city: str) -> str:
                """Ask the expert."""
                return await expert.run(f"The weather in {city}?")

            history: list[Any] = []
            assert await agent_of(colour, server, [weather]).run(PROMPT, history=history) == "Rain, 12 degrees."
        assert history[2]["content"] == "rain"

    colour.run(body)
