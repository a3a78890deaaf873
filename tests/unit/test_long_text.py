"""Systems for long texts: orders, decisions, limits, records and sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import Colour
from tests.soak.windows import soak
from tframex import sync
from tframex._types import Messages
from tframex.agents import BasicAgent
from tframex.errors import ChunkingError, ConfigurationError, ContextLengthError, ModelStatusError, PartialFailureError
from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, LongTextPrompts, LongTextSystem, MapReduceSystem, Progress
from tframex.testing import FakeVLLM, ScriptedModel

FACTS = [f"Keeper number {number} was called Name{number}." for number in range(60)]
TEXT = "\n\n".join(" ".join(FACTS[start : start + 5]) for start in range(0, 60, 5))


def names(text: str) -> list[str]:
    return sorted(set(re.findall(r"Name\d+", text)), key=lambda name: int(name[4:]))


def reader(messages: Messages) -> str:
    """A worker that takes down every name it reads, and a manager that says how many it knows."""
    prompt = messages[-1]["content"]
    found = names(prompt)
    return f"<think>hm Name999</think>{' '.join(found)}" if prompt.endswith("Notes:") else f"{len(found)} names"


def order_of(model: ScriptedModel) -> list[int]:
    """The highest new name of each part, in the order in which the parts were read."""
    parts = [m[-1]["content"].split("Next part of the text:\n")[1] for m, _ in model.calls if "Next part" in str(m)]
    return [int(names(part)[-1][4:]) for part in parts]


def test_backward_reads_from_the_end(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", model, chunk_size=150, max_notes=400, order="backward"))
        assert await system.run("How many?", TEXT) == "60 names"

    model = ScriptedModel(reader)
    colour.run(body)
    assert order_of(model) == sorted(order_of(model), reverse=True)


def test_several_paths_read_in_several_orders_and_a_judge_decides(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", model, chunk_size=300, max_notes=400, paths=3, max_concurrency=1))
        result = await system.complete("How many?", TEXT)
        assert result.answers == ("60 names",) * 3
        assert result.text == "0 names"  # what the judge of this script says
        assert [step.kind for step in result.steps].count("answer") == 3
        assert result.steps[-1].kind == "judge"
        assert {step.path for step in result.steps} == {0, 1, 2, 3}

    model = ScriptedModel(reader)
    colour.run(body)
    read = order_of(model)
    first, second, third = (read[start : start + len(read) // 3] for start in range(0, len(read), len(read) // 3))
    assert (first, second) == (sorted(first), sorted(first, reverse=True))
    assert sorted(third) == first
    assert third not in (first, second)


def test_a_vote_takes_the_answer_of_most_paths() -> None:
    answers = iter(["Red.", "blue", "red"])
    model = ScriptedModel(lambda m: "notes" if m[-1]["content"].endswith("Notes:") else next(answers))
    with sync.blocking(model):
        system = sync.ChainOfAgents(
            "c", sync.blocking(model), chunk_size=300, paths=3, decide="vote", max_concurrency=1
        )
        result = system.complete("Which colour?", TEXT)
    assert (result.text, result.answers) == ("Red.", ("Red.", "blue", "red"))


def test_a_worker_that_knows_enough_ends_the_reading(colour: Colour) -> None:
    def script(messages: Messages) -> str:
        prompt = messages[-1]["content"]
        if not prompt.endswith("Notes:"):
            return f"an answer from {names(prompt)}"
        return "Name3\nENOUGH" if "Name15" in prompt else "nothing yet"

    async def body() -> None:
        system = colour.make(ChainOfAgents("c", model, chunk_size=150, stop_early=True))
        result = await system.complete("Which name?", TEXT)
        assert result.text == "an answer from ['Name3']"
        assert max(step.end for step in result.steps) < len(TEXT)

    model = ScriptedModel(script)
    colour.run(body)
    assert "ENOUGH" in str(model.calls[0])


def test_notes_beyond_their_share_are_condensed_and_then_cut() -> None:
    def script(messages: Messages) -> str:
        prompt = messages[-1]["content"]
        if "half the length" in prompt:
            return "short " * 10
        return "long " * 300 if prompt.endswith("Notes:") else "done"

    model = ScriptedModel(script)
    system = sync.ChainOfAgents("c", sync.blocking(model), chunk_size=300, max_notes=50)
    result = system.complete("What?", TEXT)
    kinds = [step.kind for step in result.steps]
    assert kinds[:4] == ["chunk", "condense", "chunk", "condense"]
    assert "short short" in model.calls[2][0][-1]["content"]
    assert all(str(messages).count("long ") <= 110 for messages, _ in model.calls)


def test_map_reduce_reads_all_parts_at_once_and_joins_their_notes(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MapReduceSystem("m", colour.original(model), max_notes=120, max_concurrency=8))
            result = await system.complete("How many?", TEXT * 10, max_tokens=60)
        kinds = [step.kind for step in result.steps]
        assert kinds.count("chunk") > 8
        assert kinds.count("collapse") > 1
        assert kinds[-1] == "answer"
        assert result.text == "60 names"
        assert result.context_window == 900
        assert all(step.prompt_tokens + step.max_tokens <= 900 for step in result.steps)

    def say(body: Mapping[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        found = names(prompt)
        return f"{found[0]} to {found[-1]}" + " and so on" * 25 if prompt.endswith("Notes:") else "60 names"

    with FakeVLLM(say, context_window=900, delay=0.002) as server:
        colour.run(body)
        assert server.peak_connections > 3


def test_the_answer_streams(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(reader), chunk_size=150, max_notes=400))
        pieces = [piece async for piece in system.stream("How many?", TEXT)]
        assert pieces == ["60", " names"]

    colour.run(body)


def test_many_texts_at_once_and_what_failed_of_them(colour: Colour) -> None:
    reports: list[Progress] = []

    def script(messages: Messages) -> str:
        if "broken" in str(messages):
            raise ModelStatusError("down", status_code=500)
        return reader(messages)

    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(script), chunk_size=200, max_notes=400))
        results = await system.run_many("How many?", [TEXT, "Name1 alone."], progress=reports.append)
        assert [result.text for result in results] == ["60 names", "1 names"]
        with pytest.raises(
            PartialFailureError, match="1 of 2 texts failed, the first of them number 1: down"
        ) as caught:
            await system.run_many("How many?", ["Name1 alone.", "broken"])
        assert caught.value.results["0"].text == "1 names"
        with pytest.raises(ConfigurationError, match=r"long_texts\[1\]"):
            await system.run_many("How many?", ["Name1", " "])

    colour.run(body)
    assert [(report.stage, report.done, report.total) for report in reports] == [("text", 1, 2), ("text", 2, 2)]


def test_workers_and_managers_may_be_different_models() -> None:
    worker, manager = ScriptedModel("notes", model_id="small"), ScriptedModel("answer", model_id="large")
    system = sync.ChainOfAgents(
        "c", sync.blocking(worker), chunk_size=300, worker=sync.blocking(worker), manager=sync.blocking(manager)
    )
    assert system.run("What?", TEXT) == "answer"
    assert (len(worker.calls) > 2, len(manager.calls)) == (True, 1)


@pytest.mark.parametrize(
    ("kind", "arguments", "complaint"),
    [
        (ChainOfAgents, {"order": "sideways"}, "order must be one of 'forward', 'backward'"),
        (ChainOfAgents, {"decide": "dice"}, "decide must be one of"),
        (ChainOfAgents, {"paths": 0}, "paths"),
        (MapReduceSystem, {"max_concurrency": 0}, "max_concurrency"),
        (MapReduceSystem, {"prompts": "read!"}, "prompts must be a LongTextPrompts object, not str"),
        (MapReduceSystem, {"worker": "small"}, "must be a tframex.model.BaseModel"),
    ],
)
def test_impossible_settings_are_refused(kind: Any, arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        kind("s", ScriptedModel("x"), **arguments)


def test_templates_can_be_replaced_and_are_checked() -> None:
    custom = LongTextPrompts(worker="{task}|{notes}|{chunk}", manager="{task}|{notes}")
    model = ScriptedModel("said")
    sync.ChainOfAgents("c", sync.blocking(model), chunk_size=300, prompts=custom).run("Do {this}", TEXT)
    assert model.calls[0][0][-1]["content"].startswith("Do {this}|-|Keeper number 0")
    assert model.calls[-1][0][-1]["content"] == "Do {this}|said"
    assert LongTextPrompts.summary().worker != LongTextPrompts.code().worker != LongTextPrompts().worker
    with pytest.raises(
        ConfigurationError, match=r"worker template must have the fields \{chunk\}, \{notes\}, \{task\}"
    ):
        LongTextPrompts(worker="{task} {chunk}")
    with pytest.raises(ConfigurationError, match="double a brace"):
        LongTextPrompts(manager="{task} {notes} {")


def test_the_constant_part_of_a_prompt_comes_first() -> None:
    """A server with prefix caching reads it once."""
    for prompts in (LongTextPrompts(), LongTextPrompts.summary(), LongTextPrompts.code()):
        assert prompts.worker.index("{task}") < prompts.worker.index("{notes}") < prompts.worker.index("{chunk}")


# -- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
def test_no_request_exceeds_a_window_that_is_counted_by_another_tokenizer(dialect: Any) -> None:
    """`make soak` runs 2,000 of these."""
    figures = soak(12, seed=5, dialect=dialect)
    assert (figures.refused, figures.over) == (0, 0)
    assert min(figures.uses) > 0.85
    assert sum(figures.uses) / len(figures.uses) > 0.94
    assert figures.counting < 2 * figures.steps


def test_a_part_that_an_endpoint_refuses_is_read_in_halves(colour: Colour) -> None:
    """An endpoint that does not count tokens, with a tokenizer that takes more than the estimate."""

    async def body() -> None:
        for kind in (ChainOfAgents, MapReduceSystem):
            async with colour.make(VLLMModel("fake", server.url, "k")) as model:
                system = colour.make(kind("c", colour.original(model), chunk_size=400, chunk_overlap=0, max_notes=100))
                result = await system.complete("How many?", TEXT, max_tokens=50)
            assert result.text == "done"
            spans = sorted({(step.start, step.end) for step in result.steps if step.kind == "chunk"})
            assert "".join(TEXT[start:end] for start, end in spans) == TEXT

    def say(body: Mapping[str, Any]) -> str:
        return "some notes" if body["messages"][-1]["content"].endswith("Notes:") else "done"

    with FakeVLLM(say, dialect="openai", context_window=1500, tokenize=list) as server:
        colour.run(body)
        assert any(record.tokens == 0 for record in server.completions())


def test_an_answer_that_leaves_no_room_is_refused_with_the_numbers() -> None:
    model = ScriptedModel("x", context_window=300)
    system = sync.MapReduceSystem("c", sync.blocking(model))
    with pytest.raises(ChunkingError, match=r"answer \(290\) leave no room for the text in a window of 300 tokens"):
        system.run("Which?", TEXT, max_tokens=290)


def test_an_agent_whose_prompt_cannot_fit_says_so_before_it_sends(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            agent = colour.make(BasicAgent("a", colour.original(model)))
            for method in (agent.run, agent.complete):
                with pytest.raises(
                    ContextLengthError, match=r"has 2\d\d\d tokens, and .* has 1000; nothing was sent"
                ) as e:
                    await method("word " * 2000)
                assert (e.value.context_window, e.value.status_code) == (1000, 0)
                assert (e.value.prompt_tokens or 0) > 2000
            with pytest.raises(ContextLengthError, match="nothing was sent"):
                _ = [piece async for piece in agent.stream("word " * 2000)]
            assert server.completions() == []
            # What the window leaves is enough for an answer: it is shortened instead.
            completion = await agent.complete("word " * 700, max_tokens=900)
            assert completion.finish_reason == "length"
            sent = server.completions()[0].body
            assert 0 < sent["max_tokens"] < 300
            assert sent["max_tokens"] + completion.usage.prompt_tokens == 1000

    with FakeVLLM("answer " * 900, context_window=1000) as server:
        colour.run(body)


# -- the record ----------------------------------------------------------------------------------------------------------


def test_the_record_has_every_step_and_the_sources_of_the_answer(colour: Colour) -> None:
    said = (
        "Keeper number 7 was called Name7. He kept a very small and secret garden there. "
        "The keeper number 41 was called Name41!"
    )

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model), chunk_size=200, chunk_overlap=0))
            result = await system.complete("Who?", TEXT)
        assert result.text == said
        assert "".join(TEXT[step.start : step.end] for step in result.steps if step.kind == "chunk") == TEXT
        assert all(step.usage and step.usage.prompt_tokens == step.prompt_tokens for step in result.steps)
        assert result.usage.completion_tokens == sum(s.usage.completion_tokens for s in result.steps if s.usage)
        first, invented, near = result.sources
        assert (first.similarity, TEXT[first.source_start : first.source_end]) == (
            1.0,
            "Keeper number 7 was called Name7",
        )
        assert (invented.chunk, invented.source_start, invented.similarity) == (None, None, 0.0)
        assert 0.6 < near.similarity < 1.0
        assert TEXT[near.source_start : near.source_end] == "Keeper number 41 was called Name41"
        chunk = [step for step in result.steps if step.kind == "chunk"][near.chunk]
        assert chunk.start <= near.source_start < chunk.end
        assert all(source.sentence == said[source.start : source.end] for source in result.sources)

    with FakeVLLM(said) as server:
        colour.run(body)


def test_a_system_of_your_own_shares_all_that(tmp_path: Path) -> None:
    class Twice(ChainOfAgents):
        async def run(self, *args: Any, **options: Any) -> Any:
            return f"{await super().run(*args, **options)}!"

    system = Twice("t", ScriptedModel(reader), chunk_size=200, max_notes=400)
    assert anyio.run(lambda: system.run("How many?", TEXT, checkpoint=tmp_path / "job")) == "60 names!"
    assert isinstance(system, LongTextSystem)
    assert sync.blocking(system).run("How many?", TEXT) == "60 names!"


# -- odd models and endpoints ----------------------------------------------------------------------------------------


def test_not_enough_is_not_enough() -> None:
    model = ScriptedModel(lambda m: "NOT ENOUGH" if m[-1]["content"].endswith("Notes:") else "done")
    sync.ChainOfAgents("c", sync.blocking(model), chunk_size=300, stop_early=True).run("Which?", TEXT)
    assert len(model.calls) > 2


def test_one_text_is_not_a_list_of_texts() -> None:
    with pytest.raises(ConfigurationError, match="for one, use run or complete"):
        sync.MapReduceSystem("m", sync.blocking(ScriptedModel("x"))).run_many("q", "hello")


def test_half_a_character_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigurationError, match=r"long_text has half of a character at position 3"):
        sync.ChainOfAgents("c", sync.blocking(ScriptedModel("x"))).run("q", "bad\ud83d text")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("<think>hm</think>\n\nThe answer. ", "The answer."),
        ("The <think> answer.\n", "The <think> answer."),
        ("<thi", "<thi"),
    ],
)
def test_a_streamed_answer_is_the_one_that_is_returned(colour: Colour, said: str, expected: str) -> None:
    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(said)))
        assert "".join([piece async for piece in system.stream("q", "text")]) == expected
        if "<think> " not in said:
            assert await system.run("q", "text") == expected

    colour.run(body)


def test_with_several_choices_the_first_is_the_answer(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model)))
            assert "".join([piece async for piece in system.stream("q", "text", n=2)]) == "one two"

    with FakeVLLM("one two") as server:
        colour.run(body)


@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
def test_a_window_nobody_told_is_learned_from_the_first_refusal(kind: Any) -> None:
    """Without a window the notes were planned for a larger model."""

    def say(body: Mapping[str, Any]) -> str:
        return "note " * 400 if body["messages"][-1]["content"].endswith("Notes:") else "done"

    with (
        FakeVLLM(say, dialect="openai", context_window=1500) as server,
        sync.VLLMModel("fake", server.url, "k") as model,
    ):
        result = getattr(sync, kind.__name__)("c", model).complete("What?", TEXT * 8)
        assert result.text == "done"
        assert result.context_window == model.window() == 1500
        assert sum(record.tokens == 0 for record in server.completions()) < 4


def test_a_server_that_cannot_count_for_a_moment_does_not_end_the_run() -> None:
    class Busy(FakeVLLM):
        lookups = 0

        def _lookup(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            self.lookups += 1
            busy = self.lookups in (1, 4) if path == "/v1/models" else path == "/tokenize"
            return (503, {"error": {"message": "busy"}}) if busy else super()._lookup(path, body)

    with Busy("said", context_window=1500) as server, sync.VLLMModel("fake", server.url, "k") as model:
        assert model.window() is None
        assert model.window() == 1500
        assert sync.ChainOfAgents("c", model).run("What?", TEXT * 5, max_tokens=100) == "said"
        assert sum(record.path == "/tokenize" for record in server.requests) == 3
