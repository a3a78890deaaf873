"""What a reading does with a busy server, with what it learns on the way, with thoughts and with cut answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colour
from tframex import sync
from tframex.errors import CheckpointError, ModelError, PartialFailureError
from tframex.events import CallStarted, RunFinished, StepFinished, TextPiece
from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, MapReduceSystem, Progress
from tframex.testing import Answer, FakeVLLM, Fault

TEXT = "\n\n".join(f"Keeper number {number} was called Name{number}. He wrote down every ship." for number in range(90))


def reader(body: Mapping[str, Any]) -> str:
    """Notes for a worker, an answer for a manager."""
    prompt = body["messages"][-1]["content"]
    return f"{len(prompt)} characters were read" if prompt.endswith("Notes:") else "It was Name7."


# -- a busy server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
@pytest.mark.usefixtures("no_wait")
def test_a_reading_waits_for_a_server_that_is_busy_as_other_systems_do(colour: Colour, kind: Any) -> None:
    async def body() -> None:
        server.faults[:] = [None, *[Fault.busy()] * 6]
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(kind("c", colour.original(model), chunk_size=300))
            assert await system.run("Who?", TEXT) == "It was Name7."
        assert server.faults == []

    with FakeVLLM(reader) as server:
        colour.run(body)


class Small(FakeVLLM):
    """Takes four requests; a fifth gets a 429."""

    now = most = refused = 0

    async def _complete(self, connection: Any, record: Any) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.now > 4:
                self.refused += 1
                error = {"error": {"message": "too many"}}
                await connection.respond(429, json.dumps(error).encode(), {"retry-after": "0"})
            else:
                await super()._complete(connection, record)
        finally:
            self.now -= 1


@pytest.mark.usefixtures("no_wait")
def test_parts_are_read_by_as_many_calls_as_the_server_takes(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MapReduceSystem("m", colour.original(model), chunk_size=60))
            result = await system.complete("Who?", TEXT)
        assert result.text == "It was Name7."
        assert sum(step.kind == "chunk" for step in result.steps) > 20

    with Small(reader, delay=0.003) as server:
        colour.run(body)
        # It tries a few more now and then; before, there were sixteen however many it took.
        assert 4 <= server.most <= 8


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_the_grammar_of_the_answer_is_not_that_of_the_notes(colour: Colour, kind: Any) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(kind("c", colour.original(model), chunk_size=300))
            assert await system.run("Who?", TEXT, grammar="root ::= name", regex="[A-Z].*") == "It was Name7."

    with FakeVLLM(reader) as server:
        colour.run(body)
        *notes, answer = server.completions()
    assert (answer.body["grammar"], answer.body["regex"]) == ("root ::= name", "[A-Z].*")
    assert all("grammar" not in record.body and "regex" not in record.body for record in notes)


# -- what a checkpoint is known by --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({}, {"default_temperature": 0.1}, False),
        ({}, {"default_max_tokens": 99}, False),
        ({}, {"reasoning": "drop"}, False),
        ({"idle_timeout": 5, "max_retries": 0}, {"idle_timeout": 300, "max_retries": 5, "resume": "never"}, True),
        ({}, {"total_timeout": 600, "max_concurrency": 2, "default_headers": {"x-team": "b"}}, True),
    ],
)
def test_a_checkpoint_is_known_by_what_shapes_the_answers_and_by_nothing_else(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], same: bool
) -> None:
    def run(settings: dict[str, Any]) -> str:
        with sync.VLLMModel("fake", server.url, "k", **settings) as model:
            return sync.ChainOfAgents("c", model, chunk_size=300).run("Who?", TEXT, checkpoint=tmp_path / "job")

    with FakeVLLM(reader) as server:
        run(first)
        before = len(server.completions())
        if same:
            assert run(second) == "It was Name7."
        else:
            with pytest.raises(CheckpointError, match="belongs to another job"):
                run(second)
        assert len(server.completions()) == before


@pytest.mark.parametrize("kind", ["ChainOfAgents", "MapReduceSystem"])
@pytest.mark.parametrize("knows", [False, True])
def test_a_window_that_is_learned_on_the_way_costs_no_finished_step(tmp_path: Path, kind: str, knows: bool) -> None:
    """The endpoint tells its window only when it refuses; the run is ended in the middle and continued by a new process."""

    def say(body: Mapping[str, Any]) -> str:
        return "note " * 150 if body["messages"][-1]["content"].endswith("Notes:") else "done"

    class EndedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            raise EndedError

    def run(progress: Any, window: int | None) -> Any:
        with sync.VLLMModel("fake", server.url, "k", context_window=window) as model:
            system = getattr(sync, kind)("c", model, max_concurrency=1)
            return system.complete("What?", TEXT * 4, checkpoint=tmp_path / "job", progress=progress)

    with FakeVLLM(say, dialect="openai", context_window=1500) as server:
        with pytest.raises(PartialFailureError) as caught:
            run(stop, None)
        assert isinstance(caught.value.__cause__, EndedError)
        paid = [record for record in server.completions() if record.tokens]
        refused = len(server.completions()) - len(paid)
        result = run(None, 1500 if knows else None)
        assert refused > 0
        assert sum(step.from_checkpoint for step in result.steps) == len(paid)
        assert result.text == "done"
        before = len(server.completions())
        assert run(None, None).text == "done"
        assert len(server.completions()) == before


# -- thoughts ---------------------------------------------------------------------------------------------------------


def thinker(words: int, how: str) -> Any:
    """A model that thinks a number of words before each answer."""

    def say(body: Mapping[str, Any]) -> Any:
        said = reader(body)
        thought = " ".join(["hmm"] * words)
        return Answer(said, reasoning=thought) if how == "separate" else f"<think>{thought}</think>{said}"

    return say


@pytest.mark.parametrize("how", ["inline", "separate", "drop"])
@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_a_thought_leaves_room_for_the_notes_and_the_answer(colour: Colour, kind: Any, how: str) -> None:
    settings: dict[str, Any] = {"reasoning": how} if how == "drop" else {}

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", **settings)) as model:
            result = await colour.make(kind("c", colour.original(model))).complete("Who?", TEXT * 2)
        assert result.text == "It was Name7."
        assert result.finish_reason == "stop"
        chunks = [step for step in result.steps if step.kind == "chunk" and step.text]
        assert chunks
        assert max(step.end for step in chunks) == len(TEXT * 2)
        assert all(step.prompt_tokens + step.max_tokens <= 2000 for step in result.steps)
        # What was learned holds for the steps after it: they are not cut off.
        assert not any(step.warnings for step in result.steps[-2:])

    with FakeVLLM(thinker(400, "separate" if how == "drop" else how), context_window=2000) as server:
        colour.run(body)


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_notes_that_stay_empty_are_an_error_that_says_what_to_do(colour: Colour, kind: Any) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            with pytest.raises(ModelError, match="its thoughts took .* Raise max_tokens.*turn thinking off"):
                await colour.make(kind("c", colour.original(model))).run("Who?", TEXT)

    with FakeVLLM(thinker(5000, "inline"), context_window=1200) as server:
        colour.run(body)


@pytest.mark.parametrize("said", ["", " \n", "<think>hm</think>"])
def test_an_answer_that_stays_empty_is_an_error_and_no_empty_text(colour: Colour, said: str) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model)))
            with pytest.raises(ModelError, match="has written nothing in step 'answer'"):
                await system.run("Who?", "A short text.")
            with pytest.raises(ModelError, match="has written nothing in step 'answer'"):
                _ = [piece async for piece in system.stream("Who?", "A short text.")]

    with FakeVLLM(said) as server:
        colour.run(body)


def test_what_was_learned_of_thoughts_is_not_learned_again(tmp_path: Path) -> None:
    def run() -> tuple[str, int]:
        before = len(server.completions())
        with sync.VLLMModel("fake", server.url, "k") as model:
            answer = sync.ChainOfAgents("c", model).run("Who?", TEXT * 2, checkpoint=tmp_path / "job")
        return answer, len(server.completions()) - before

    with FakeVLLM(thinker(400, "inline"), context_window=2000) as server:
        first, asked = run()
        assert asked > 3
        assert run() == (first, 0)


# -- cut answers ------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_cut_off_says_so(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model), chunk_size=300, max_notes=100))
            result = await system.complete("Who?", TEXT, max_tokens=3)
        assert result.finish_reason == "length"
        assert result.warnings == ("answer: cut off at max_tokens (3)",)
        assert result.steps[-1].cut
        assert all(step.finish_reason == "stop" for step in result.steps[:-1])

    with FakeVLLM(reader) as server:
        colour.run(body)


def test_notes_that_are_cut_off_are_condensed_and_say_so(colour: Colour) -> None:
    def say(body: Mapping[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        return "short" if "half the length" in prompt else "long " * 200 if prompt.endswith("Notes:") else "done"

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model), chunk_size=300, max_notes=40))
            result = await system.complete("Who?", TEXT)
        kinds = [step.kind for step in result.steps[:-1]]
        assert kinds == ["chunk", "condense"] * (len(kinds) // 2)
        assert result.warnings == ("chunk: cut off at max_tokens (50)",) * (len(kinds) // 2)
        assert result.finish_reason == "stop"

    with FakeVLLM(say) as server:
        colour.run(body)


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"), [(ChainOfAgents, {}), (ChainOfAgents, {"paths": 2}), (MapReduceSystem, {})]
)
def test_a_reading_tells_what_happens(colour: Colour, kind: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(kind("c", colour.original(model), chunk_size=300, **settings))
            fresh = [event async for event in system.events("Who?", TEXT, checkpoint=tmp_path / "job")]
            again = [event async for event in system.events("Who?", TEXT, checkpoint=tmp_path / "job")]
        for events, from_checkpoint in ((fresh, False), (again, True)):
            assert isinstance(events[-1], RunFinished)
            result = events[-1].result
            finished = [event for event in events if isinstance(event, StepFinished)]
            assert [event.kind for event in finished] == [step.kind for step in result.steps]
            assert all(event.from_checkpoint is from_checkpoint for event in finished)
            text = "".join(event.text for event in events if isinstance(event, TextPiece))
            assert text == result.text == "It was Name7."
            started = [event.step for event in events if isinstance(event, CallStarted)]
            assert started == [] if from_checkpoint else sorted(started) == sorted(event.step for event in finished)

    with FakeVLLM(reader) as server:
        colour.run(body)
