"""Systems in every colour, the user's own included."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import Colour
from tframex import sync
from tframex._types import Messages
from tframex.agents import BasicAgent
from tframex.errors import ChunkingError, ConfigurationError, ModelStatusError, OutputError
from tframex.model import VLLMModel
from tframex.systems import BaseSystem, ChainOfAgents, MultiCallSystem, Progress
from tframex.testing import FakeVLLM, Fault, ScriptedModel
from tframex.tokens import TiktokenCounter

FACTS = [f"Keeper number {number} was called Name{number}." for number in range(60)]
TEXT = "\n\n".join(" ".join(FACTS[start : start + 5]) for start in range(0, 60, 5))


def reader(messages: Messages) -> str:
    """A worker that takes down every name it reads, and a manager that says how many it knows."""
    prompt = messages[-1]["content"]
    names = sorted(set(re.findall(r"Name\d+", prompt)), key=lambda name: int(name[4:]))
    return f"<think>hm Name999</think>{' '.join(names)}" if prompt.endswith("Notes:") else f"{len(names)} names"


def test_chain_of_agents_carries_notes_through_all_chunks(colour: Colour) -> None:
    steps: list[Progress] = []

    async def body() -> None:
        system = colour.make(ChainOfAgents("chain", model, chunk_size=150, chunk_overlap=20, max_notes=400))
        answer = await system.run("How many?", TEXT, progress=steps.append, temperature=0, max_tokens=77)
        assert answer == "60 names"

    model = ScriptedModel(reader)
    colour.run(body)
    assert len(model.calls) > 5
    assert steps[-1] == Progress("answer", len(steps), len(steps), detail="60 names")
    assert [step.stage for step in steps[:-1]] == ["chunk"] * (len(steps) - 1)
    assert all(options["temperature"] == 0 for _, options in model.calls)
    assert [options["max_tokens"] for _, options in model.calls] == [500] * (len(steps) - 1) + [77]
    assert not any("Name999" in str(messages) for messages, _ in model.calls)


def test_a_text_that_fits_is_answered_directly(colour: Colour) -> None:
    async def body() -> None:
        assert await colour.make(ChainOfAgents("c", model)).run("Which?", "Only this.") == "An answer."

    model = ScriptedModel("An answer.")
    colour.run(body)
    assert len(model.calls) == 1
    assert "Only this." in model.calls[0][0][-1]["content"]


def test_every_prompt_of_a_chain_fits_the_window() -> None:
    counter = TiktokenCounter()
    model = ScriptedModel(lambda _: "word " * 5000, context_window=700)
    asyncio.run(ChainOfAgents("c", model).run("How many?", TEXT * 3, max_tokens=200))
    assert len(model.calls) > 4
    for messages, options in model.calls:
        assert counter.count_messages(messages) + options["max_tokens"] <= 700


def test_a_window_without_room_for_text_is_an_error_with_the_numbers() -> None:
    model = ScriptedModel("x", context_window=300)
    with pytest.raises(ChunkingError, match=r"leave no room for the text in a window of 300 tokens"):
        asyncio.run(ChainOfAgents("c", model).run("Which?", TEXT, max_tokens=290))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"chunk_size": 10, "chunk_overlap": 10}, "chunk_overlap"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"chunk_size": "many"}, "chunk_size"),
        ({"chunk_overlap": -1}, "chunk_overlap"),
        ({"max_notes": 0}, "max_notes"),
        ({"system_id": ""}, "system_id"),
    ],
)
def test_a_chain_with_impossible_sizes_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    for kind, model in (
        (ChainOfAgents, ScriptedModel("x")),
        (sync.ChainOfAgents, sync.blocking(ScriptedModel("x"))),
    ):
        with pytest.raises(ConfigurationError, match=complaint):
            kind(**{"system_id": "c", "model": model, **arguments})


@pytest.mark.parametrize(("task", "text"), [("", "text"), ("task", " "), (None, "text"), ("task", 7)])
def test_a_chain_needs_a_task_and_a_text(colour: Colour, task: Any, text: Any) -> None:
    async def body() -> None:
        with pytest.raises(ConfigurationError, match="must be a non-empty string"):
            await colour.make(ChainOfAgents("c", ScriptedModel("x"))).run(task, text)

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_multi_call_writes_every_answer_to_its_own_file(backend: str, tmp_path: Path) -> None:
    steps: list[Progress] = []

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k") as model:
            system = MultiCallSystem("multi", model, max_concurrency=3)
            paths = await system.run("Say hi", 7, tmp_path / "out", "answer", progress=steps.append, max_tokens=9)
        assert list(paths) == [f"call_{number}" for number in range(1, 8)]
        assert paths["call_7"] == str(tmp_path / "out" / "answer_7.txt")
        texts = {Path(path).read_text(encoding="utf-8") for path in paths.values()}
        assert len(texts) == 1
        assert server.peak_connections == 3

    with FakeVLLM(delay=0.001) as server:
        anyio.run(body, backend=backend)
    ended = [step for step in steps if step.stage == "call"]
    assert [step.done for step in ended] == list(range(1, 8))
    assert {(step.total, step.failed) for step in steps} == {(7, 0)}


def test_multi_call_in_a_sync_script(tmp_path: Path) -> None:
    with FakeVLLM() as server, sync.VLLMModel("fake", server.url, "k") as model:
        paths = sync.MultiCallSystem("m", model).run("Say hi", 2, output_dir=str(tmp_path))
    assert paths == {f"call_{n}": str(tmp_path / f"output_{n}.txt") for n in (1, 2)}
    assert all(Path(path).stat().st_size > 100 for path in paths.values())


@pytest.mark.usefixtures("no_wait")
def test_a_failed_call_says_so_and_the_others_go_on(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        model = ScriptedModel(["one", ModelStatusError("bad", status_code=400), "three"])
        paths = await colour.make(MultiCallSystem("m", model, max_concurrency=1)).run("x", 3, tmp_path)
        assert paths["call_2"] == "ERROR: bad (Troubleshooting: ModelStatusError)"
        assert [Path(paths[name]).read_text() for name in ("call_1", "call_3")] == ["one", "three"]

    colour.run(body)


def test_a_broken_call_keeps_its_partial_file(tmp_path: Path) -> None:
    with (
        FakeVLLM(faults=[Fault.cut(3000)]) as server,
        sync.VLLMModel("fake", server.url, "k", resume="never") as model,
    ):
        paths = sync.MultiCallSystem("m", model).run("x", 1, tmp_path)
    assert paths["call_1"].startswith("ERROR: the answer broke off after")
    assert (tmp_path / "output_1.txt.partial").stat().st_size > 0
    assert not (tmp_path / "output_1.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"num_calls": 0}, "num_calls must be a whole number, at least 1, not 0"),
        ({"num_calls": -3}, "num_calls"),
        ({"num_calls": 1.5}, "num_calls"),
        ({"num_calls": True}, "num_calls"),
        ({"prompt": ""}, "prompt"),
        ({"base_filename": "../up"}, "base_filename must be the beginning of a file name, not '../up'"),
        ({"base_filename": ""}, "base_filename"),
        ({"stream": True}, "stream is not an option"),
    ],
)
def test_multi_call_refuses_bad_arguments_before_anything_is_sent(
    colour: Colour, tmp_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    async def body() -> None:
        model = VLLMModel("fake", server.url, "k")
        system = colour.make(MultiCallSystem("m", model))
        with pytest.raises(ConfigurationError, match=complaint):
            await system.run(**{"prompt": "x", "num_calls": 2, "output_dir": tmp_path, **arguments})

    with FakeVLLM() as server:
        colour.run(body)
        assert server.requests == []


def test_a_file_where_the_folder_should_be_is_an_error(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel("x")))
        with pytest.raises(OutputError, match="it is a file"):
            await system.run("x", 1, tmp_path / "file")

    (tmp_path / "file").write_text("")
    colour.run(body)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission on Windows")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # root may write everywhere; the system call's answer is then simulated
        monkeypatch.setattr(
            Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
        )
    with pytest.raises(OutputError, match=r"cannot write .*Permission denied"):
        sync.blocking(MultiCallSystem("m", ScriptedModel("x"))).run("x", 1, folder / "deep")


class Debate(BaseSystem):
    """A user's own system: two agents and a judge."""

    async def run(self, question: str, **options: Any) -> str:
        pro = await BasicAgent("pro", self.model).run(f"Argue for: {question}", **options)
        con = await BasicAgent("con", self.model).run(f"Argue against: {question}", **options)
        decided: str = await BasicAgent("judge", self.model).run(f"{pro}\n{con}\nDecide.", **options)
        return decided


def test_a_user_s_own_system_works(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(Debate("debate", ScriptedModel(["yes", "no", "maybe"])))
        assert await system.run("Is it?") == "maybe"

    colour.run(body)
    assert sync.blocking(Debate("debate", ScriptedModel("x"))).system_id == "debate"
    assert repr(Debate("d", ScriptedModel("x"))) == "Debate('d', ScriptedModel('scripted'))"
    assert sync.blocking(Debate("debate", ScriptedModel("x"))).model.model_id == "scripted"
