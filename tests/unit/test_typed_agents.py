"""Agents whose answers have a type."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.conftest import Colour
from tframex.agents import BaseAgent, BasicAgent, ContextAgent
from tframex.errors import ConfigurationError, OutputValidationError
from tframex.events import CallRetried, OutputPiece, RunFinished, StepFinished, TextPiece
from tframex.model import BaseModel as Model
from tframex.model import Completion, Output, VLLMModel
from tframex.testing import FakeVLLM, ScriptedModel

PLAN = {
    "city": "Paris",
    "days": [{"day": f"2026-12-0{number}", "high": number} for number in range(1, 4)],
    "notes": ["Take an umbrella.", "Or two."],
}
TEXT = json.dumps(PLAN)


class Day(BaseModel):
    day: date
    high: float


class Forecast(BaseModel):
    city: str
    days: list[Day]
    notes: list[str]


FORECAST = Forecast.model_validate(PLAN)


class Own(BaseAgent):
    """An agent with a `run`."""

    async def run(self, prompt: str, **options: Any) -> Any:
        plan = await self._stream_and_aggregate(f"Plan this: {prompt}")
        return await self._stream_and_aggregate(f"{prompt}\n{plan}", **options)


class Deaf(BaseAgent):
    """An agent whose `run` does not listen to its options."""

    async def run(self, prompt: str, **options: Any) -> str:
        return await self._stream_and_aggregate(prompt)


class Loud(BasicAgent):
    """A basic agent with a `run` that calls the inherited one."""

    async def run(self, prompt: str, **options: Any) -> Any:
        return await super().run(prompt.upper(), **options)


def agents(model: Model) -> list[BaseAgent]:
    return [BasicAgent("a", model), ContextAgent("a", model, "It rains."), Loud("a", model), Own("a", model)]


@pytest.mark.parametrize("number", range(4))
def test_every_agent_s_run_returns_a_value_of_the_type(colour: Colour, number: int) -> None:
    async def body() -> None:
        with FakeVLLM(TEXT) as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model):
                agent = colour.make(agents(model)[number])
                assert await agent.run("The weather?", output_type=Forecast) == FORECAST
                assert await agent.run("The weather?") == TEXT
                completion = await agent.complete("The weather?", output_type=Forecast)
                assert completion.output == FORECAST
                assert completion.text == TEXT
                assert (await agent.complete("The weather?")).output is None

    colour.run(body)


@pytest.mark.parametrize("number", range(4))
def test_every_agent_s_stream_ends_with_the_value(colour: Colour, number: int) -> None:
    async def body() -> None:
        with FakeVLLM(TEXT) as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model):
                agent = colour.make(agents(model)[number])
                values = [value async for value in agent.stream("The weather?", output_type=Forecast)]
                assert values[-1] == FORECAST
                assert isinstance(values[-1], Forecast)
                assert all(isinstance(value, dict) for value in values[:-1])
                assert (len(values) > 1) == (number < 2)

    colour.run(body)


def test_a_stream_yields_what_has_arrived_of_the_value(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(TEXT, delay=0.002) as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model):
                agent = colour.make(BasicAgent("a", model))
                *parts, last = [value async for value in agent.stream("The weather?", output_type=Forecast)]
        assert last == FORECAST
        assert parts[0] == {}
        assert {"city": "Par"} in parts or {"city": "Paris"} in parts
        days = [part["days"] for part in parts if "days" in part]
        assert {len(found) for found in days} == {0, 1, 2, 3}
        assert all(found == FORECAST.days[: len(found)] for found in days)
        notes = [tuple(part["notes"]) for part in parts if "notes" in part]
        assert ("Take",) in notes or ("Take an",) in notes
        assert notes[-1] == ("Take an umbrella.", "Or two.")

    colour.run(body)


def test_a_stream_of_a_list_yields_its_complete_items() -> None:
    made: list[int] = []

    class Counted(BaseModel):
        number: int

        def model_post_init(self, context: Any) -> None:
            made.append(self.number)

    async def body() -> None:
        text = json.dumps({"value": [{"number": number} for number in range(30)]})
        with FakeVLLM(text, delay=0.001) as server:
            model = VLLMModel("fake", server.url, "none")
            async with model:
                agent = BasicAgent("a", model)
                lengths = []
                async for value in agent.stream("Count.", output_type=list[Counted]):
                    assert all(isinstance(item, Counted) for item in value)
                    lengths.append(len(value))
        assert lengths == sorted(lengths)
        assert set(lengths) == set(range(31))
        # Once each when it was complete, and once each in the complete list.
        assert made == [*range(30), *range(30)]

    Colour("asyncio").run(body)


def test_a_stream_starts_over_after_an_answer_of_another_type() -> None:
    async def body() -> None:
        answers = iter([json.dumps({**PLAN, "city": 7}), TEXT])
        with FakeVLLM(lambda _: next(answers)) as server:
            model = VLLMModel("fake", server.url, "none")
            async with model:
                agent = BasicAgent("a", model)
                events = [event async for event in agent.events("The weather?", output_type=Forecast)]
        (retried,) = [number for number, event in enumerate(events) if isinstance(event, CallRetried)]
        before = [event.value for event in events[:retried] if isinstance(event, OutputPiece)]
        after = [event.value for event in events[retried:] if isinstance(event, OutputPiece)]
        assert before[-1]["city"] == 7
        assert after[-1]["city"] == "Paris"
        assert isinstance(events[-2], StepFinished)
        assert isinstance(events[-1], RunFinished)
        assert events[-1].result.output == FORECAST
        assert events[-1].result.retries == 1

    Colour("asyncio").run(body)


def test_max_output_retries_holds_for_agents(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("Rain.") as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model):
                agent = colour.make(BasicAgent("a", model))
                with pytest.raises(OutputValidationError, match="answer 1 of 1"):
                    await agent.run("The weather?", output_type=Forecast, max_output_retries=0)
            assert len(server.completions()) == 1

    colour.run(body)


def test_a_run_that_ignores_the_type_is_not_passed_off_as_one(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(Deaf("a", ScriptedModel(["It rains.", TEXT])))
        with pytest.raises(OutputValidationError, match="not of type Forecast"):
            await agent.complete("The weather?", output_type=Forecast)
        completion = await agent.complete("The weather?", output_type=Forecast)
        assert completion.output == FORECAST

    colour.run(body)


def test_a_run_may_make_the_value_itself() -> None:
    class Maker(BaseAgent):
        async def run(self, prompt: str, **options: Any) -> Any:
            return FORECAST

    async def body() -> None:
        agent = Maker("a", ScriptedModel("never asked"))
        completion = await agent.complete("The weather?", output_type=Forecast)
        assert completion.output is FORECAST
        assert json.loads(completion.text) == json.loads(FORECAST.model_dump_json())
        assert [value async for value in agent.stream("The weather?", output_type=Forecast)] == [FORECAST]

    Colour("asyncio").run(body)


def test_all_calls_of_an_agent_s_own_run_are_in_its_usage() -> None:
    async def body() -> None:
        with FakeVLLM(TEXT) as server:
            model = VLLMModel("fake", server.url, "none")
            async with model:
                completion = await Own("a", model).complete("The weather?", output_type=Forecast)
            assert completion.usage is not None
            assert completion.usage.completion_tokens == server.tokens

    Colour("asyncio").run(body)


def test_a_file_gets_the_json_of_the_value(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        answers = iter(["Nothing.", f"```json\n{TEXT}\n```"])
        agent = colour.make(BasicAgent("a", ScriptedModel(lambda _: next(answers))))
        path = tmp_path / "forecast.json"
        completion = await agent.stream_to_file("The weather?", path, output_type=Forecast)
        assert completion.output == FORECAST
        assert Forecast.model_validate_json(path.read_text()) == FORECAST
        assert path.read_text() == Output(Forecast).write(FORECAST) + "\n"

    colour.run(body)


def test_a_model_with_its_own_events_need_not_know_types() -> None:
    class Wrapping(Model):
        def __init__(self) -> None:
            super().__init__("wrapping")
            self.options: list[dict[str, Any]] = []

        async def call_stream(self, messages: Any, **options: Any) -> AsyncGenerator[str, None]:
            yield TEXT

        async def events(self, messages: Any, *, restart: bool = False, **options: Any) -> AsyncGenerator[Any, None]:
            self.options.append(options)
            async for event in super().events(messages, restart=restart, **options):
                yield event

        async def call(self, messages: Any, **options: Any) -> Completion:
            self.options.append(options)
            return await super().call(messages, **options)

    async def body() -> None:
        model = Wrapping()
        assert await BasicAgent("a", model).run("The weather?", output_type=Forecast, top_k=1) == FORECAST
        assert await Own("a", model).run("The weather?", output_type=Forecast, top_k=1) == FORECAST
        assert all("output_type" not in options for options in model.options)
        assert {"top_k": 1} in model.options

    Colour("asyncio").run(body)


def test_a_type_that_is_none_is_refused_before_anything_is_sent(colour: Colour) -> None:
    async def body() -> None:
        model = ScriptedModel("x")
        agent = colour.make(BasicAgent("a", model))
        with pytest.raises(ConfigurationError, match="output_type must be a type"):
            await agent.run("The weather?", output_type="Forecast")
        assert not model.calls

    colour.run(body)


def test_text_is_still_streamed_while_it_arrives() -> None:
    async def body() -> None:
        with FakeVLLM(TEXT, delay=0.001) as server:
            model = VLLMModel("fake", server.url, "none")
            async with model:
                agent = BasicAgent("a", model)
                assert "".join([piece async for piece in agent.stream("x")]) == TEXT
                events = [event async for event in agent.events("x", output_type=Forecast)]
        assert "".join(event.text for event in events if isinstance(event, TextPiece)) == TEXT

    Colour("asyncio").run(body)


def test_a_choice_among_words_is_a_type(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("a", ScriptedModel("Yes")))
        with pytest.raises(OutputValidationError, match="'yes' or 'no'"):
            await agent.run("Sure?", output_type=Literal["yes", "no"])
        assert await agent.run("Sure?", output_type=Literal["Yes", "No"]) == "Yes"

    colour.run(body)
