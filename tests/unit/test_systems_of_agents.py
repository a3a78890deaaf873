"""Systems over agents: a run with tools and types is one call of theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel as Schema

from tests.conftest import Colour
from tframex import sync
from tframex.agents import AgentModel, BaseAgent, BasicAgent, ContextAgent, ToolAgent
from tframex.errors import ConfigurationError, ModelStatusError, OutputValidationError
from tframex.events import RunFinished, StepFinished, ToolResult, ToolStarted
from tframex.model import BaseModel, VLLMModel
from tframex.systems import ChainOfAgents, MapReduceSystem, MultiCallSystem
from tframex.testing import Answer, FakeVLLM, Fault, ScriptedModel

LONG = "\n\n".join(f"Chapter {number}. It rains in Bern, and nothing happens." for number in range(150))


class Points(Schema):
    """How good an answer is."""

    points: int


def weather(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain"


def looking(request: Mapping[str, Any]) -> Answer | str:
    """A call of the tool, and then an answer that has its result."""
    last = request["messages"][-1]
    if last["role"] == "tool":
        return f"It says {last['content']}."
    return Answer(calls=[("weather", {"city": "Bern"})])


def clerk(server: FakeVLLM, tools: Any = (weather,), **settings: Any) -> ToolAgent:
    return ToolAgent("clerk", VLLMModel("fake", server.url, "k", **settings), tools)


def test_many_runs_of_an_agent_are_samples(colour: Colour) -> None:
    """Their usage is that of all their calls."""

    async def body() -> None:
        with FakeVLLM(looking) as server:
            system = colour.make(MultiCallSystem("many", clerk(server)))
            samples = await system.sample("Weather?", 5)
            sent = len(server.completions())
        assert samples.texts == ["It says Bern: rain."] * 5
        assert sent == 10
        assert samples.usage.completion_tokens == sum(sample.completion.usage.completion_tokens for sample in samples)
        assert samples.usage.prompt_tokens > 10
        vote_needs = samples[0].completion.usage.completion_tokens
        assert vote_needs > len(["It", "says", "Bern:", "rain."])

    colour.run(body)


def test_runs_are_written_to_files_and_vote(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        with FakeVLLM(looking) as server:
            system = colour.make(MultiCallSystem("many", clerk(server)))
            paths = await system.run("Weather?", 3, tmp_path / colour.name)
            vote = await system.vote("Weather?", 5)
        assert [Path(path).read_text() for path in paths.values()] == ["It says Bern: rain."] * 3
        assert (vote.text, vote.samples.failed) == ("It says Bern: rain.", [])

    colour.run(body)


def test_the_events_of_runs_have_the_steps_of_the_system(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        with FakeVLLM(looking) as server:
            system = colour.make(MultiCallSystem("many", clerk(server)))
            events = [event async for event in system.events("Weather?", 2, tmp_path / colour.name)]
        assert sorted(event.step for event in events if isinstance(event, ToolStarted)) == ["1", "2"]
        assert sorted(event.step for event in events if isinstance(event, ToolResult)) == ["1", "2"]
        assert sorted(event.step for event in events if isinstance(event, StepFinished)) == ["1", "2"]
        assert isinstance(events[-1], RunFinished)

    colour.run(body)


def test_a_type_of_the_answer_reaches_the_agent(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM('{"points": 7}') as server:
            model = VLLMModel("fake", server.url, "k")
            for agent in (BasicAgent("a", model), ToolAgent("b", model, [weather])):
                system = colour.make(MultiCallSystem("many", agent))
                samples = await system.map(["One?", "Two?"], output_type=Points)
                assert [sample.completion.output for sample in samples] == [Points(points=7)] * 2

    colour.run(body)


def test_a_run_whose_answer_is_not_of_the_type_is_corrected_and_calls_no_tool_again(colour: Colour) -> None:
    async def body() -> None:
        called: list[str] = []

        def weather(city: str) -> str:
            """The forecast for a city."""
            called.append(city)
            return "rain"

        def answer(request: Mapping[str, Any]) -> Answer | str:
            if all(message["role"] != "tool" for message in request["messages"]):
                return Answer(calls=[("weather", {"city": "Bern"})])
            return "Seven." if request["messages"][-1]["role"] == "tool" else '{"points": 7}'

        with FakeVLLM(answer) as server:
            agent = clerk(server, [weather])
            system = colour.make(MultiCallSystem("many", agent))
            (sample,) = await system.map(["One?"], output_type=Points)
            assert (sample.completion.output, called, len(server.completions())) == (Points(points=7), ["Bern"], 3)
            (sample,) = await system.map(["Two?"], output_type=Points, max_output_retries=0)
            assert isinstance(sample.error, OutputValidationError)
            with pytest.raises(OutputValidationError):
                await colour.make(agent).run("Three?", output_type=Points, max_output_retries=0)
            assert len(server.completions()) == 7
        assert called == ["Bern"] * 3

    colour.run(body)


def test_a_batch_of_runs_continues_where_it_stopped(colour: Colour, tmp_path: Path) -> None:
    """A run that is finished is not made again; with other tools it is another batch."""
    questions, answers = tmp_path / "questions.jsonl", tmp_path / f"{colour.name}.jsonl"
    questions.write_text("\n".join(json.dumps(f"Weather {number}?") for number in range(4)) + "\n")

    async def body() -> None:
        with FakeVLLM(looking) as server:
            system = colour.make(MultiCallSystem("many", clerk(server)))
            assert (await system.run_file(questions, answers)).lines == 4
            kept = answers.read_text()
            answers.write_text("".join(kept.splitlines(keepends=True)[:2]))
            before = len(server.completions())
            await system.run_file(questions, answers)
            assert len(server.completions()) - before == 4
        again = answers.read_text().splitlines()
        assert again[:2] == kept.splitlines()[:2]
        assert [json.loads(line)["text"] for line in again] == ["It says Bern: rain."] * 4

    colour.run(body)


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_agents_read_a_long_text(colour: Colour, kind: Any) -> None:
    """With their own instructions and tools, in every step."""

    async def body() -> None:
        with FakeVLLM(looking, context_window=1500) as server:
            model = VLLMModel("fake", server.url, "k", default_max_tokens=100)
            agent = ToolAgent("reader", model, [weather], system_prompt="You are a careful reader.")
            system = colour.make(kind("chain", agent))
            result = await system.complete("What is the weather?", LONG)
            sent = [record.body for record in server.completions()]
            refused = [record for record in server.completions() if not record.tokens]
        assert result.text == "It says Bern: rain."
        assert len(result.steps) > 2
        assert len(sent) == 2 * len(result.steps)
        assert refused == []
        assert all(body["messages"][0]["content"].startswith("You are a careful reader.") for body in sent)

    colour.run(body)


def test_a_worker_and_a_manager_may_be_agents(colour: Colour, tmp_path: Path) -> None:
    """And a continued run makes no finished step again."""

    async def body() -> None:
        with FakeVLLM("Noted.", context_window=1000) as server:
            model = VLLMModel("fake", server.url, "k", default_max_tokens=100)
            worker = BasicAgent("reader", model, system_prompt="Take notes.")
            manager = ContextAgent("boss", model, "Answer briefly.")
            system = colour.make(ChainOfAgents("chain", model, worker=worker, manager=manager))
            path = tmp_path / f"{colour.name}.sqlite"
            first = await system.complete("What happens?", LONG, checkpoint=path)
            sent = [json.dumps(record.body["messages"]) for record in server.completions()]
            again = await system.complete("What happens?", LONG, checkpoint=path)
            assert len(server.completions()) == len(sent)
        assert again.text == first.text == "Noted."
        assert all("Take notes." in body for body in sent[:-1])
        assert "Answer briefly." in sent[-1]

    colour.run(body)


def test_checkpoints_know_an_agent_by_what_it_sends() -> None:
    model = ScriptedModel("hi")

    def key(agent: BaseAgent, **options: Any) -> str:
        return json.dumps(AgentModel(agent).shaping(options), sort_keys=True)

    plain = BasicAgent("a", model)
    assert key(plain) == key(BasicAgent("another name", model))
    assert key(plain) != key(BasicAgent("a", model, system_prompt="Be brief."))
    assert key(ToolAgent("a", model, [weather])) != key(plain)
    assert key(plain, output_type=Points) != key(plain)
    assert key(plain, deps=object()) == key(plain)


# -- limits and failures -----------------------------------------------------------------------------------------------


def test_calls_of_runs_wait_at_the_one_limit_of_the_model(colour: Colour) -> None:
    """Tools that ask the same model wait there too, and never for the run they are part of."""

    async def body() -> None:
        def answer(request: Mapping[str, Any]) -> Answer | str:
            return "inner" if "inner question" in json.dumps(request["messages"]) else looking(request)

        with FakeVLLM(answer) as server:
            model = VLLMModel("fake", server.url, "k", max_concurrency=1)

            async def weather(city: str) -> str:
                """The forecast for a city."""
                return await BasicAgent("inner", model).run("inner question")

            agent = ToolAgent("clerk", model, [weather])
            with anyio.fail_after(60) if colour.name != "sync" else _nothing():
                samples = await colour.make(MultiCallSystem("many", agent)).sample("Weather?", 12)
            peak = server.peak_connections
        assert samples.texts == ["It says inner."] * 12
        assert peak == 1

    colour.run(body)


class _nothing:  # noqa: N801 - used as a function
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_a_system_inside_a_tool_of_a_run_does_not_wait_for_the_run(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(looking) as server:
            model = VLLMModel("fake", server.url, "k")
            inner = BasicAgent("inner", ScriptedModel("inner"))
            nested = MultiCallSystem("inner", inner)

            async def weather(city: str) -> str:
                """The forecast for a city."""
                return (await nested.sample("?", 20)).texts[0]

            system = colour.make(MultiCallSystem("many", ToolAgent("clerk", model, [weather])))
            assert (await system.sample("Weather?", 12)).texts == ["It says inner."] * 12

    colour.run(body)


@pytest.mark.usefixtures("no_wait")
def test_a_run_waits_for_a_busy_server_until_it_has_called_tools(colour: Colour) -> None:
    """After that it is not begun again: the tools would run twice."""

    async def body() -> None:
        ran: list[str] = []

        def weather(city: str) -> str:
            """The forecast for a city."""
            ran.append(city)
            return "rain"

        busy = Fault.busy()
        with FakeVLLM(looking, faults=[*[busy] * 8, None, *[busy] * 8]) as server:
            samples = await colour.make(MultiCallSystem("many", clerk(server, [weather]))).sample("Weather?", 1)
        (failed,) = samples
        assert ran == ["Bern"]
        assert isinstance(failed.error, ModelStatusError)

    colour.run(body)


# -- judges ------------------------------------------------------------------------------------------------------------


def test_a_judge_may_return_a_typed_value(colour: Colour) -> None:
    """A number, or an object with `points` or `score`."""

    async def body() -> None:
        def answer(request: Mapping[str, Any]) -> str:
            text = json.dumps(request["messages"])
            if "Answer to judge" not in text:
                return "good" if request.get("seed") == 2 else "bad"
            return '{"points": 90}' if "\\ngood" in text else '{"points": 10}'

        with FakeVLLM(answer) as server:
            model = VLLMModel("fake", server.url, "k")
            judge = ToolAgent("judge", model, [weather], output_type=Points)
            system = MultiCallSystem("many", model)
            made = colour.make(system)
            found = await made.best_of("Say it.", 3, judge, seed=1)
        assert (found.text, found.scores) == ("good", {1: 10.0, 2: 90.0, 3: 10.0})

    colour.run(body)


def test_an_agent_of_the_other_colour_is_refused() -> None:
    model = sync.VLLMModel("fake", "http://127.0.0.1:9", "k")
    agent: Any = sync.BasicAgent("a", model)
    wrong: Any
    for wrong in (agent, "model", None):
        with pytest.raises(ConfigurationError):
            MultiCallSystem("many", wrong)
    assert isinstance(sync.MultiCallSystem("many", agent).model, sync.BaseModel)
    assert isinstance(AgentModel.of("system_id", "s", ScriptedModel("x")), BaseModel)
