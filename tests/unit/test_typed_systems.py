"""Systems whose answers have a type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.conftest import Colour
from tframex.errors import ConfigurationError, OutputValidationError, PartialFailureError
from tframex.events import OutputPiece, RunFinished, StepFinished
from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, MapReduceSystem, MultiCallSystem
from tframex.testing import FakeVLLM, Fault, ScriptedModel


class City(BaseModel):
    name: str
    people: int


PARIS = City(name="Paris", people=2)
TEXT = "The city of Paris has two people. " * 300


def said(messages: Any) -> str:
    return str(messages[-1]["content"])


def reader(messages: Any) -> str:
    """Notes for a worker, JSON for the manager."""
    return PARIS.model_dump_json() if "JSON schema" in said(messages) else "Paris has two people."


# -- long texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_the_answer_about_a_long_text_has_a_type_and_the_notes_do_not(colour: Colour, kind: Any) -> None:
    async def body() -> None:
        model = ScriptedModel(reader)
        system = colour.make(kind("c", model, chunk_size=600))
        assert await system.run("Which city?", TEXT, output_type=City) == PARIS
        asked = ["JSON schema" in said(messages) for messages, _ in model.calls]
        assert len(asked) > 3
        assert asked == [*[False] * (len(asked) - 1), True]
        result = await system.complete("Which city?", TEXT, output_type=City)
        assert result.output == PARIS
        assert result.text == PARIS.model_dump_json()
        assert await system.run("Which city?", TEXT) == "Paris has two people."

    colour.run(body)


def test_a_text_that_fits_is_answered_in_the_type_at_once(colour: Colour) -> None:
    async def body() -> None:
        model = ScriptedModel(reader)
        system = colour.make(ChainOfAgents("c", model))
        assert await system.run("Which city?", "Paris.", output_type=City) == PARIS
        assert len(model.calls) == 1

    colour.run(body)


def test_an_answer_of_another_type_is_asked_again_without_reading_again() -> None:
    async def body() -> None:
        answers = iter(["Paris!", PARIS.model_dump_json()])
        model = ScriptedModel(lambda messages: next(answers) if "JSON" in said(messages) else "Paris has two people.")
        system = ChainOfAgents("c", model, chunk_size=600)
        result = await system.complete("Which city?", TEXT, output_type=City)
        assert result.output == PARIS
        parts = [step for step in result.steps if step.kind == "chunk"]
        assert len(model.calls) == len(parts) + 2
        with pytest.raises(OutputValidationError, match="answer 1 of 1"):
            await ChainOfAgents("c", ScriptedModel("Paris!")).run("?", "x", output_type=City, max_output_retries=0)

    Colour("asyncio").run(body)


def test_a_stream_about_a_long_text_has_the_growing_value(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(lambda messages: f"{reader(messages)} "), chunk_size=600))
        *parts, last = [value async for value in system.stream("Which city?", TEXT, output_type=City)]
        assert last == PARIS
        assert parts == [{"name": "Paris", "people": 2}]

    colour.run(body)


def test_a_checkpoint_keeps_the_answer_and_its_type(tmp_path: Path) -> None:
    async def body() -> None:
        model = ScriptedModel(reader)
        system = ChainOfAgents("c", model, chunk_size=600)
        for _ in range(2):
            answer = await system.run("Which city?", TEXT, output_type=City, checkpoint=tmp_path / "job")
            assert answer == PARIS
        calls = len(model.calls)
        await system.run("Which city?", TEXT, output_type=City, checkpoint=tmp_path / "other")
        assert len(model.calls) == 2 * calls

        class Town(City):
            mayor: str = "nobody yet"

        from tframex.errors import CheckpointError

        with pytest.raises(CheckpointError):
            await system.run("Which city?", TEXT, output_type=Town, checkpoint=tmp_path / "job")

    Colour("asyncio").run(body)


@pytest.mark.parametrize("decide", ["vote", "judge"])
def test_several_readings_decide_about_values(decide: Any) -> None:
    async def body() -> None:
        answers = iter(
            [
                '{"name": "Rome", "people": 1}',
                '{"name": "Paris", "people": 2}',
                '{"people": 2,\n "name": "Paris"}',
                PARIS.model_dump_json(),
            ]
        )
        model = ScriptedModel(lambda messages: next(answers) if "JSON" in said(messages) else "notes")
        system = ChainOfAgents("c", model, chunk_size=600, paths=3, decide=decide)
        assert await system.run("Which city?", TEXT, output_type=City) == PARIS

    Colour("asyncio").run(body)


def test_no_request_exceeds_the_window_with_the_description_of_a_type(colour: Colour) -> None:
    class Wide(BaseModel):
        name: str
        people: int
        one: Literal["a description that takes many tokens", "another one that takes even more of them"] | None = None
        two: Literal["a description that takes many tokens", "another one that takes even more of them"] | None = None
        three: Literal["a description that takes many tokens", "another one that takes even more of them"] | None = None

    async def body() -> None:
        with FakeVLLM(lambda body: reader(body["messages"]), context_window=900) as server:
            model = VLLMModel("fake", server.url, "none", 80)
            async with colour.make(model):
                for kind in (ChainOfAgents, MapReduceSystem):
                    for repeats in (8, 20, 60):
                        system = colour.make(kind("c", model))
                        found = await system.run("Which city?", TEXT[: 34 * repeats], output_type=Wide)
                        assert found.name == "Paris"

    colour.run(body)


# -- many calls ------------------------------------------------------------------------------------------------------


def test_samples_have_values(colour: Colour) -> None:
    async def body() -> None:
        answers = iter(["nothing", *[f'{{"value": {number}}}' for number in range(9)]])
        system = colour.make(MultiCallSystem("m", ScriptedModel(lambda _: next(answers)), max_concurrency=1))
        samples = await system.sample("A number?", 3, output_type=int)
        assert samples.outputs == [0, 1, 2]
        assert samples[0].output == 0
        assert samples[0].completion.retries == 1
        samples = await system.map(["A number?", "Another?"], output_type=int)
        assert samples.outputs == [3, 4]

    colour.run(body)


def test_a_call_without_a_value_has_failed(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(
            MultiCallSystem("m", ScriptedModel(lambda messages: "1" if "1" in said(messages) else "x"))
        )
        samples = await system.map(["Say 1.", "Say it."], output_type=int, max_output_retries=0)
        assert samples.outputs == [1]
        assert isinstance(samples[1].error, OutputValidationError)
        assert samples[1].partial == "x"
        assert samples[1].output is None
        with pytest.raises(PartialFailureError):
            samples.raise_for_errors()

    colour.run(body)


def test_a_wrong_type_is_refused_before_anything_is_sent(colour: Colour) -> None:
    async def body() -> None:
        model = ScriptedModel("1")
        system = colour.make(MultiCallSystem("m", model))
        with pytest.raises(ConfigurationError, match="output_type"):
            await system.sample("?", 3, output_type=object())
        with pytest.raises(ConfigurationError, match="output_type"):
            await system.vote("?", 3, output_type=object())
        assert not model.calls

    colour.run(body)


def test_files_have_the_answers_and_samples_the_values(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        system = colour.make(
            MultiCallSystem("m", ScriptedModel(["junk that is long", '{"value": 7}']), max_concurrency=1)
        )
        samples = await system.complete("?", 1, tmp_path, output_type=int)
        assert samples.outputs == [7]
        assert (tmp_path / "output_1.txt").read_text() == '{"value": 7}'

    colour.run(body)


def test_equal_values_have_their_votes_in_common(colour: Colour) -> None:
    async def body() -> None:
        answers = iter(
            [
                '{"name": "Paris", "people": 2}',
                'Well: {"people": 2, "name": "Paris"}',
                '{"name": "Rome", "people": 1}',
                '{"name":"Paris","people":2}',
                '{"name": "Paris", "people": "2"}',
            ]
        )
        system = colour.make(MultiCallSystem("m", ScriptedModel(lambda _: next(answers)), max_concurrency=1))
        vote = await system.vote("Which city?", 5, output_type=City, confidence=1)
        assert vote.output == PARIS
        assert vote.counts[vote.answer] >= 3
        assert json.loads(vote.answer) == {"name": "Paris", "people": 2}

    colour.run(body)


def test_a_key_gets_the_value_and_a_word_is_its_own_name(colour: Colour) -> None:
    async def body() -> None:
        answers = iter(["1", "2", "3", "4", "5"])
        system = colour.make(MultiCallSystem("m", ScriptedModel(lambda _: next(answers)), max_concurrency=1))
        vote = await system.vote(
            "?", 5, key=lambda number: "odd" if number % 2 else "even", output_type=int, confidence=1
        )
        assert vote.answer == "odd"
        assert vote.output == 1
        system = colour.make(MultiCallSystem("m", ScriptedModel('{"value": "yes"}')))
        assert (await system.vote("?", 3, output_type=Literal["yes", "no"])).answer == "yes"

    colour.run(body)


def test_the_events_of_many_calls_have_their_values() -> None:
    async def body() -> None:
        with FakeVLLM(PARIS.model_dump_json()) as server:
            async with VLLMModel("fake", server.url, "none") as model:
                system = MultiCallSystem("m", model)
                events = [event async for event in system.events("?", 2, output_type=City)]
        pieces = {event.step for event in events if isinstance(event, OutputPiece)}
        assert pieces == {"1", "2"}
        steps = [event for event in events if isinstance(event, StepFinished)]
        assert [step.completion and step.completion.output for step in steps] == [PARIS, PARIS]
        assert isinstance(events[-1], RunFinished)
        assert events[-1].result.outputs == [PARIS, PARIS]

    Colour("asyncio").run(body)


def test_a_batch_has_typed_rows(colour: Colour, tmp_path: Path) -> None:
    def answer(body: Mapping[str, Any]) -> str:
        return "No idea." if "unknown" in json.dumps(body["messages"]) else PARIS.model_dump_json()

    async def body() -> None:
        source, target = tmp_path / f"in-{colour.name}", tmp_path / f"out-{colour.name}"
        official = {
            "custom_id": "o",
            "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": "?"}]},
        }
        own = {"prompt": "?", "response_format": {"type": "json_object"}}
        lines = ["Which?", "An unknown one?", official, own]
        source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        with FakeVLLM(answer, faults=[Fault.busy(503, retry_after="0")]) as server:
            model = VLLMModel("fake", server.url, "none")
            async with colour.make(model):
                system = colour.make(MultiCallSystem("m", model))
                result = await system.run_file(source, target, output_type=City, max_output_retries=1)
                rows = [json.loads(line) for line in target.read_text().splitlines()]
                assert (result.lines, result.failed) == (4, 2)
                assert rows[0]["output"] == {"name": "Paris", "people": 2}
                assert rows[0]["text"] == PARIS.model_dump_json()
                assert rows[1]["error"]["code"] == "OutputValidationError"
                assert rows[1]["error"]["partial"] == "No idea."
                assert rows[2]["response"]["body"]["choices"][0]["message"]["content"] == PARIS.model_dump_json()
                assert rows[3]["error"]["code"] == "ConfigurationError"
                requests = len(server.completions())
                # The same call again has nothing left to ask but the line that failed.
                await system.run_file(source, target, output_type=City, max_output_retries=0)
                assert len(server.completions()) <= requests + 1

    colour.run(body)
