"""User code, checked by mypy and pyright and never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pydantic
from typing_extensions import assert_type

from tframex import sync
from tframex.agents import BaseAgent, BasicAgent, ContextAgent, Conversation, ToolAgent
from tframex.errors import ApprovalNeeded
from tframex.events import Event
from tframex.model import BaseModel, Completion, Delta, Output, Usage, VLLMModel
from tframex.systems import ChainOfAgents, LongTextResult, MapReduceSystem, MultiCallSystem, Source
from tframex.tools import PendingCall, Tool, ToolContext, Toolset, approve, pending_calls, tool


class Forecast(pydantic.BaseModel):
    city: str


def look(city: str) -> str:
    return city


async def typed(model: VLLMModel, agent: BasicAgent) -> None:
    assert_type(await agent.run("hi", output_type=Forecast), Forecast)
    assert_type(await agent.run("hi", output_type=list[Forecast]), list[Forecast])
    assert_type(await agent.run("hi", output_type=Output(Forecast, name="f")), Forecast)
    assert_type(await agent.run("hi", output_type=int, temperature=0.0), int)
    assert_type(await agent.run("hi", output_type=None), str)
    assert_type(await agent.run("hi"), str)
    assert_type(agent.stream("hi"), AsyncGenerator[str, None])
    assert_type(await agent.complete("hi", output_type=Forecast), Completion)
    clerk = ToolAgent("clerk", model, [look, tool(look)], max_steps=3)
    assert_type(await clerk.run("hi", output_type=Forecast, deps=3, tool_choice=["look", "none"]), Forecast)
    assert_type(await clerk.complete("hi", history=[]), Completion)
    assert_type(await model.call([{"role": "user", "content": "hi"}], output_type=Forecast), Completion)
    chain = ChainOfAgents("c", model)
    assert_type(await chain.run("q", "text", output_type=Forecast), Forecast)
    assert_type(await chain.run("q", "text"), str)
    assert_type(chain.stream("q", "text"), AsyncGenerator[str, None])
    assert_type(Output(Forecast).parse("{}"), Forecast)
    assert_type(Output.of(Forecast), Output[Forecast])


@tool
async def weather(city: str, days: int = 1) -> str:
    return city * days


@tool(approve=lambda amount: amount > 100, on_uncertain="key", timeout=5)
def pay(context: ToolContext[dict[str, int]], amount: int) -> int:
    assert_type(context.deps, dict[str, int])
    context.progress("paying")
    return amount


def find(context: ToolContext, name: str) -> str:
    assert_type(context.key, str)
    return name


class Shop:
    @tool
    def left(self, article: str) -> int:
        return len(article)


async def with_tools(model: VLLMModel, mine: Tool) -> None:
    assert_type(await weather("Bern", days=2), str)
    assert_type(pay(ToolContext({"a": 1}), 5), int)
    assert_type(Shop().left("pen"), int)
    assert_type(weather.definition(), dict[str, Any])
    assert_type(await pay.call('{"amount": 5}', ToolContext(deps={"a": 1})), str)
    tools = Toolset([weather, pay, find, Shop().left, mine])
    assert_type(tools.get("pay"), Tool[..., Any] | None)
    agent = ToolAgent("clerk", model, tools=[weather, pay, find, Shop().left, mine])
    await agent.run("hi", deps={"a": 1}, checkpoint="run.sqlite")
    try:
        await ToolAgent("clerk", model, tools).run("hi")
    except ApprovalNeeded as needed:
        for call in needed.calls:
            approve(needed.path, call)
    assert_type(pending_calls("run.sqlite"), list[PendingCall])
    made = Tool.from_schema("find", "Find.", {"type": "object"}, find, timeout=3)
    assert_type(made, Tool[..., Any])


def typed_synchronous(agent: sync.BasicAgent) -> None:
    assert_type(agent.run("hi", output_type=Forecast), Forecast)
    assert_type(agent.run("hi"), str)
    assert_type(agent.stream("hi"), Generator[str, None, None])


async def asynchronous(model: VLLMModel, agent: BasicAgent) -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert_type(await model.call(messages, top_k=5), Completion)
    assert_type(model.call_stream(messages), AsyncGenerator[str, None])
    async for event in model.stream(messages):
        assert_type(event, Delta | Completion)
    assert_type((await model.call(messages)).usage, Usage | None)
    assert_type(await agent.run("hi", temperature=0.0), str)
    assert_type(await agent.stream_to_file("hi", "out.txt"), Completion)
    assert_type(await ChainOfAgents("c", model).run("q", "text"), str)
    assert_type(await MultiCallSystem("m", model).run("q", 3), dict[str, str])
    chain = ChainOfAgents("c", model, paths=2, decide="vote")
    assert_type(chain.stream("q", "text"), AsyncGenerator[str, None])
    result = await chain.complete("q", "text", checkpoint="job.sqlite")
    assert_type(result, LongTextResult)
    assert_type(result.sources, tuple[Source, ...])
    assert_type(await MapReduceSystem("m", model).run_many("q", ["one", "two"]), list[LongTextResult])
    assert_type(await model.window(), int | None)
    assert_type(await model.counter.measure(messages), int)
    async with VLLMModel.from_env() as other:
        assert_type(other, VLLMModel)


async def conversing(agent: BasicAgent) -> None:
    talk = Conversation(agent, "talk.jsonl")
    assert_type(await talk.say("hi", temperature=0.0), str)
    assert_type(await talk.say("hi", output_type=Usage), Usage)
    assert_type(talk.stream("hi"), AsyncGenerator[str, None])
    assert_type(talk.events("hi"), AsyncGenerator[Event, None])
    assert_type(await talk.complete("hi"), Completion)
    assert_type(await talk.undo(), str | None)
    with sync.Conversation(sync.blocking(agent)) as blocking:
        assert_type(blocking.say("hi"), str)
        assert_type(blocking.say("hi", output_type=Usage), Usage)
        assert_type(blocking.stream("hi"), Generator[str, None, None])
    async with talk as same:
        assert_type(same, Conversation)


def synchronous(model: sync.VLLMModel) -> None:
    messages = ({"role": "user", "content": "hi"},)
    assert_type(model.call(messages), Completion)
    assert_type(model.call_stream(messages), Generator[str, None, None])
    assert_type(sync.ContextAgent("a", model, "context").run("hi"), str)
    assert_type(sync.MultiCallSystem("m", model).run("q", 3), dict[str, str])
    assert_type(sync.ChainOfAgents("c", model).complete("q", "text"), LongTextResult)
    assert_type(sync.MapReduceSystem("c", model).stream("q", "text"), Generator[str, None, None])
    assert_type(model.counter, sync.EndpointCounter)
    with sync.VLLMModel.local() as local:
        assert_type(local, sync.VLLMModel)


class Mine(BaseAgent):
    async def run(self, prompt: str, **options: Any) -> str:
        return await self._stream_and_aggregate([{"role": "user", "content": prompt}], **options)


class MyModel(BaseModel):
    async def call_stream(self, messages: Any, **options: Any) -> AsyncGenerator[str, None]:
        yield "hi"


def wrapped() -> None:
    assert_type(sync.blocking(MyModel("m")), sync.BaseModel)
    assert_type(sync.blocking(Mine("a", MyModel("m"))), sync.BaseAgent)
    assert_type(sync.blocking(ContextAgent("a", MyModel("m"), "x")), sync.BasicAgent)
