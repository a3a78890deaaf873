"""The same programs for every server: a tool, two tools in parallel, a typed answer after a tool.

The small model understands little, so each step is told what it has to be; what is tested is that calls, results and
answers have their form.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tests.conftest import Colour
from tframex.agents import ToolAgent
from tframex.events import RunFinished, StepFinished, ToolResult
from tframex.model import VLLMModel
from tframex.tasks import map_bounded
from tframex.tools import Tool

__all__ = ["BOTH", "DEFINITIONS", "MESSAGES", "a_tool", "a_typed_answer", "two_tools", "valid_calls"]

PROMPT = "What is the weather in Bern, and what time is it in Rome?"
MESSAGES = [{"role": "user", "content": PROMPT}]
BOTH = "Call weather for Bern, then call clock for Rome."
City = Annotated[str, Field(min_length=1, max_length=16)]


class Forecast(BaseModel):
    """A forecast."""

    sky: Literal["sun", "rain", "snow"]
    degrees: Annotated[int, Field(ge=-60, le=60)]


def weather(city: City, days: Annotated[int, Field(ge=1, le=9)] = 1) -> str:
    """The forecast for a city."""
    return f"{city}: rain, 12 degrees, for {days} days"


async def clock(city: City, zone: Literal["CET", "UTC"] = "UTC") -> dict[str, str]:
    """The time in a city."""
    return {"city": city, "time": f"12:00 {zone}"}


TOOLS = {tool.name: tool for tool in (Tool(weather), Tool(clock))}
DEFINITIONS = [tool.definition() for tool in TOOLS.values()]


def _agent(colour: Colour, model: VLLMModel, **settings: Any) -> Any:
    return colour.make(ToolAgent("clerk", model, [weather, clock], system_prompt="Be brief.", **settings))


async def a_tool(colour: Colour, model: VLLMModel) -> None:
    """One call, and an answer."""
    history: list[Any] = []
    answer = await _agent(colour, model).run(PROMPT, history=history, tool_choice=["weather", "none"])
    assert answer
    [call] = history[1]["tool_calls"]
    assert call["function"]["name"] == "weather"
    arguments = json.loads(call["function"]["arguments"])
    assert history[2]["content"] == weather(**arguments)
    assert history[-1] == {"role": "assistant", "content": answer}


async def two_tools(colour: Colour, model: VLLMModel, prompt: str = PROMPT, **options: Any) -> None:
    """Several calls in one answer, all of which get their results."""
    events = [
        event async for event in _agent(colour, model).events(prompt, tool_choice=["required", "none"], **options)
    ]
    first = next(event.completion for event in events if isinstance(event, StepFinished))
    assert first
    assert len(first.tool_calls) >= 2
    results = [event for event in events if isinstance(event, ToolResult)]
    assert {result.call.id for result in results} == {call.id for call in first.tool_calls}
    assert not any(result.failed for result in results)


async def a_typed_answer(colour: Colour, model: VLLMModel) -> None:
    """An answer of a type after a call."""
    agent = _agent(colour, model, output_type=Forecast)
    completion = await agent.complete(PROMPT, tool_choice=["weather", "none"])
    assert isinstance(completion.output, Forecast)


async def valid_calls(model: VLLMModel, number: int, **options: Any) -> int:
    """How many of so many named and required calls are valid by their schemas, at any temperature."""

    async def valid(seed: int) -> bool:
        choice = ("weather", "clock", "required", "required")[seed % 4]
        asked: dict[str, Any] = {
            "temperature": 1.0,
            "max_tokens": 300,
            "seed": seed,
            "parallel_tool_calls": False,
            **options,
        }
        asking = model.act(MESSAGES, tools=DEFINITIONS, choice=choice, restart=True, **asked)
        *_, finished = [event async for event in asking]
        assert isinstance(finished, RunFinished)
        [call] = finished.result.tool_calls
        assert choice in ("required", call.name)
        TOOLS[call.name].read(call.arguments)
        return True

    return sum(await map_bounded(valid, range(number), 8))
