"""A killed run continues, and nothing is mixed or lost."""

from __future__ import annotations

import concurrent.futures
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import ROOT, Colour
from tests.soak.kills import kill
from tframex import sync
from tframex._types import Messages
from tframex.errors import CheckpointError, ConfigurationError, ModelStatusError, OutputError, StreamInterruptedError
from tframex.files import Journal, Row, content_key
from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, MapReduceSystem
from tframex.testing import FakeVLLM, Fault, ScriptedModel
from tframex.testing._vocabulary import split_words

TEXT = "\n\n".join(f"Keeper number {number} was called Name{number}. He wrote down every ship." for number in range(60))


def reader(messages: Messages) -> str:
    prompt = messages[-1]["content"]
    found = sorted(set(re.findall(r"Name\d+", prompt)))
    return " ".join(found) if prompt.endswith("Notes:") else f"{len(found)} names"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(ChainOfAgents, {}), (ChainOfAgents, {"order": "backward"}), (ChainOfAgents, {"paths": 2}), (MapReduceSystem, {})],
)
def test_what_an_earlier_run_has_paid_for_is_not_asked_again(
    colour: Colour, tmp_path: Path, kind: Any, settings: dict[str, Any]
) -> None:
    fail_at = 4

    def script(messages: Messages) -> str:
        if len(model.calls) == fail_at:
            raise ModelStatusError("down", status_code=500)
        return reader(messages)

    async def body() -> None:
        nonlocal fail_at
        system = colour.make(kind("c", model, chunk_size=150, max_notes=500, max_concurrency=1, **settings))
        path = tmp_path / "deep" / "job.sqlite"
        with pytest.raises(ModelStatusError):
            await system.run("How many?", TEXT, checkpoint=path)
        asked = len(model.calls)
        fail_at = 0
        result = await system.complete("How many?", TEXT, checkpoint=path)
        assert [step.from_checkpoint for step in result.steps].count(True) == asked - 1
        fresh = await system.complete("How many?", TEXT)
        assert result.text == fresh.text
        assert [(step.start, step.end, step.text) for step in result.steps] == [
            (step.start, step.end, step.text) for step in fresh.steps
        ]
        before = len(model.calls)
        again = await system.complete("How many?", TEXT, checkpoint=path)
        assert (again.text, len(model.calls)) == (fresh.text, before)
        assert again.usage.total_tokens == 0
        pieces = [piece async for piece in system.stream("How many?", TEXT, checkpoint=path)]
        assert ("".join(pieces), len(model.calls)) == (fresh.text, before)

    model = ScriptedModel(script)
    colour.run(body)


def test_a_run_goes_on_inside_the_step_it_was_broken_off_in(colour: Colour, tmp_path: Path) -> None:
    """The answer breaks off for good after 40 tokens; the next run asks only for what is missing."""
    said = " ".join(f"word{number}" for number in range(60))

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", resume="never")) as model:
            with pytest.raises(StreamInterruptedError):
                system = colour.make(ChainOfAgents("c", colour.original(model)))
                # Whoever reads the pieces cannot be given others instead.
                _ = [piece async for piece in system.stream("What?", TEXT[:500], checkpoint=tmp_path / "job")]
        generated = server.tokens
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(ChainOfAgents("c", colour.original(model)))
            assert await system.run("What?", TEXT[:500], checkpoint=tmp_path / "job") == said
            assert server.completions()[-1].body["continue_final_message"] is True
            pieces = [piece async for piece in system.stream("What?", TEXT[:500], checkpoint=tmp_path / "job")]
            assert "".join(pieces) == said
            # One more is the end of the message; the break and the cut may cost a token each.
            assert server.tokens <= len(split_words(said)) + 1 + 2
            assert generated > 20

    with FakeVLLM(said, faults=[Fault.end(9000)]) as server:
        colour.run(body)


@pytest.mark.no_cover
def test_a_killed_run_gives_the_same_answer_for_hardly_more_tokens() -> None:
    """`make soak` kills a hundred times."""
    figures = kill(1, seed=3)
    assert figures.kills == 1
    assert max(figures.ratios) < 1.2


@pytest.mark.parametrize(
    "change",
    [
        {"text": TEXT + "!"},
        {"task": "How many then?"},
        {"options": {"temperature": 0.1}},
        {"settings": {"chunk_size": 151}},
        {"settings": {"max_notes": 501}},
        {"model": "another"},
    ],
)
def test_the_checkpoint_of_another_job_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    def run(model: str = "m", text: str = TEXT, task: str = "How many?", **more: Any) -> str:
        settings = {"chunk_size": 150, "max_notes": 500, **more.get("settings", {})}
        system = sync.ChainOfAgents("c", sync.blocking(ScriptedModel(reader, model_id=model)), **settings)
        answer: str = system.run(task, text, checkpoint=tmp_path / "job", **more.get("options", {}))
        return answer

    first = run()
    with pytest.raises(CheckpointError, match="belongs to another job.*Nothing was mixed") as caught:
        run(**change)
    assert caught.value.path == str(tmp_path / "job")
    assert isinstance(caught.value, OutputError)
    assert run() == first


def test_a_damaged_checkpoint_is_an_error_that_says_so(tmp_path: Path) -> None:
    system = sync.ChainOfAgents("c", sync.blocking(ScriptedModel(reader)), chunk_size=150)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, but long enough to be looked at as one " * 30)
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        system.run("How many?", TEXT, checkpoint=garbage)
    assert garbage.read_bytes().startswith(b"not a database")
    with pytest.raises(CheckpointError, match="cannot be read or written"):
        system.run("How many?", TEXT, checkpoint=tmp_path)  # a folder
    with pytest.raises(CheckpointError, match="folder of checkpoint"):
        system.run("How many?", TEXT, checkpoint=garbage / "job")
    with pytest.raises(ConfigurationError, match="must be the path of a file"):
        system.run("How many?", TEXT, checkpoint=" ")


def test_another_version_s_file_and_unreadable_details_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "job"
    with Journal(path, "job") as checkpoint:
        checkpoint.put(Row("a", "k", 0, 1, True, "text", 1, {}))
    database = sqlite3.connect(path)
    database.execute("UPDATE steps SET details = 'torn'")
    database.commit()
    with Journal(path, "job") as checkpoint, pytest.raises(CheckpointError, match="damaged"):
        checkpoint.get("a")
    database.execute("UPDATE meta SET value = 'tframex checkpoint 99' WHERE name = 'format'")
    database.commit()
    database.close()
    with pytest.raises(CheckpointError, match="another version"):
        Journal(path, "job")


def test_a_finished_step_is_not_overwritten_by_an_unfinished_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "job", "job") as journal:
        journal.put(Row("a", "k", 0, 1, False, "be", 1, {}))
        journal.put(Row("a", "k", 0, 1, True, "begun", 2, {}))
        journal.put(Row("a", "k", 0, 1, False, "beg", 1, {}))
        assert journal.get("a") == Row("a", "k", 0, 1, True, "begun", 2, {})
        journal.put(Row("a", "other", 0, 1, False, "", 0, {}))
        assert journal.get("a") == Row("a", "other", 0, 1, False, "", 0, {})


def test_a_second_run_on_a_checkpoint_that_is_in_use_is_refused_and_pays_nothing(
    colour: Colour, tmp_path: Path
) -> None:
    """Two runs would pay for everything twice."""

    async def body() -> None:
        system = colour.make(ChainOfAgents("c", model, chunk_size=150, max_notes=500))
        with Journal(tmp_path / "job", "job"):
            with pytest.raises(CheckpointError, match="is in use by another run. Wait until that has ended"):
                await system.run("How many?", TEXT, checkpoint=tmp_path / "job")
            assert model.calls == []
        (tmp_path / "job").unlink()
        assert await system.run("How many?", TEXT, checkpoint=tmp_path / "job") == "60 names"

    model = ScriptedModel(reader)
    colour.run(body)
    assert not (tmp_path / "job.lock").exists()


HOLD = """
import sys
from pathlib import Path
from tframex.files import Journal
journal = Journal(Path(sys.argv[1]), "job")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_keeps_a_checkpoint_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "job"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(CheckpointError, match="is in use by another run"):
            Journal(path, "job")
        child.kill()
        child.wait()
        Journal(path, "job").close()


def test_equal_content_has_equal_keys() -> None:
    assert content_key({"a": 1, "b": [2]}, "x") == content_key({"b": [2], "a": 1}, "x")
    assert content_key("ab", "c") != content_key("a", "bc")


@pytest.mark.parametrize("dialect", ["vllm", "openai"])
@pytest.mark.parametrize(
    ("kind", "settings"), [(ChainOfAgents, {}), (ChainOfAgents, {"paths": 3}), (MapReduceSystem, {})], ids=str
)
def test_a_finished_job_costs_nothing_in_a_new_process_either(
    tmp_path: Path, dialect: Any, kind: Any, settings: dict[str, Any]
) -> None:
    """A new model has learned nothing about its endpoint, which must not change what is asked."""

    def say(body: Any) -> str:
        prompt = body["messages"][-1]["content"]
        return f"{len(prompt)} characters " * (8 + len(prompt) % 50)

    def run() -> tuple[str, int]:
        with sync.VLLMModel("fake", server.url, "k", context_window=1200) as model:
            system = getattr(sync, kind.__name__)("c", model, max_notes=120, **settings)
            before = len(server.completions())
            return system.run("What?", TEXT * 3, checkpoint=tmp_path / "job"), len(server.completions()) - before

    with FakeVLLM(say, dialect=dialect, context_window=1200) as server:
        first, asked = run()
        assert asked > 4
        assert run() == (first, 0)


def test_a_run_that_is_broken_off_again_and_again_ends_with_the_same_answer(tmp_path: Path) -> None:
    """Cancelled every few tokens, with notes that must be condensed."""

    def say(body: Any) -> str:
        prompt = body["messages"][-1]["content"]
        return " ".join(f"{len(prompt)}-{number}" for number in range(20 + len(prompt) % 40))

    async def run(seconds: float, path: Path) -> str | None:
        async with VLLMModel("fake", server.url, "k") as model:
            with anyio.move_on_after(seconds):
                return await ChainOfAgents("c", model, max_notes=100).run("What?", TEXT, checkpoint=path)
        return None

    with FakeVLLM(say, context_window=1200, delay=0.001) as server:
        complete = anyio.run(run, 60, tmp_path / "complete")
        tokens = server.tokens
        broken = None
        for turn in range(60):
            # On a machine that has much else to do, a turn may be over before anything has come.
            broken = broken or anyio.run(run, 0.35 * 1.05**turn, tmp_path / "broken")
        assert broken == complete
        assert server.tokens - tokens <= 1.2 * tokens


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE diary (day TEXT)")
    database.commit()
    with pytest.raises(CheckpointError, match="a database but not a checkpoint"):
        Journal(path, "job")
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("diary",)]
    database.close()


def test_of_many_that_open_a_new_checkpoint_concurrently_one_gets_it(tmp_path: Path) -> None:
    def opened(path: Path) -> Journal | None:
        try:
            return Journal(path, "job")
        except CheckpointError:
            return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number in range(20):
            found = [journal for journal in pool.map(opened, [tmp_path / str(number)] * 8) if journal is not None]
            assert len(found) == 1
            found[0].close()
