"""Files that several runs write, in one process and in several, and that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.conftest import ROOT, Colour
from tframex.agents import BasicAgent
from tframex.errors import OutputError
from tframex.files import LineFile, PartialFile
from tframex.systems import MultiCallSystem
from tframex.testing import FakeVLLM, ScriptedModel

ASK = """
import sys
from tframex import sync
url, folder, prompt = sys.argv[1:]
with sync.VLLMModel("fake", url, "k") as model:
    print("ready", flush=True)
    sys.stdin.readline()
    files = sync.MultiCallSystem("m", model).run(prompt, 4, folder)
    print(sorted(path.startswith("ERROR") for path in files.values()), flush=True)
"""


def test_two_processes_that_write_the_same_files_write_complete_answers(tmp_path: Path) -> None:
    """Each file is the answer of one of them, never a mixture, and nothing else is left."""

    def answer(body: object) -> str:
        return f"{body['messages'][0]['content']} " * 400 + "end"  # type: ignore[index]

    with FakeVLLM(answer, delay=0.005) as server:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", ASK, server.url, str(tmp_path), prompt],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for prompt in ("red", "blue")
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            assert child.communicate(timeout=120)[0] == "[False, False, False, False]\n"
        # Both were at it, at the same time.
        assert server.peak_connections > 4
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [f"output_{number}.txt" for number in range(1, 5)]
    complete = {"red " * 400 + "end", "blue " * 400 + "end"}
    assert {path.read_text() for path in files} <= complete


def test_two_agents_that_write_one_file_write_complete_answers(tmp_path: Path) -> None:
    path = tmp_path / "answer.txt"

    async def body() -> None:
        async with anyio.create_task_group() as group:
            for name in ("red", "blue", "green"):
                agent = BasicAgent(name, ScriptedModel(" ".join([name] * 100)))
                group.start_soon(agent.stream_to_file, "x", path)

    anyio.run(body)
    assert path.read_text() in {" ".join([name] * 100) for name in ("red", "blue", "green")}
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_complete_answer_gets_the_name_and_one_that_fails_keeps_its_own_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with PartialFile(path) as first, PartialFile(path) as second, PartialFile(path) as third:
        for name, file in (("first", first), ("second", second), ("third", third)):
            file.write(name)
        assert [file.partial.name for file in (first, second, third)] == [
            "a.txt.partial",
            "a.txt.2.partial",
            "a.txt.3.partial",
        ]
        first.finish()
        assert path.read_text() == "first"
        # A fourth takes the free name while the others are at it.
        with PartialFile(path) as fourth:
            assert fourth.partial.name == "a.txt.partial"
            fourth.write("fourth")
            fourth.fail("it broke off")
        second.finish()
        assert path.read_text() == "second"
        # What is over went; the third one is being written.
        assert sorted(found.name for found in tmp_path.iterdir()) == ["a.txt", "a.txt.3.partial"]
    assert (tmp_path / "a.txt.3.partial").read_text() == "third"


def test_the_partial_file_of_an_earlier_run_does_not_mislead(colour: Colour, tmp_path: Path) -> None:
    """An attempt of which nothing arrives keeps the earlier text, which was paid for, and says whose it is."""
    partial, reason = tmp_path / "output_1.txt.partial", tmp_path / "output_1.txt.error"
    partial.write_text("text of an earlier run, longer than what follows")
    (tmp_path / "output_1.txt.2.partial").write_text("text of a killed one")

    async def body() -> None:
        script: list[str | Exception] = [ValueError("no"), "short"]
        system = colour.make(MultiCallSystem("m", ScriptedModel(script)))
        assert not (await system.complete("x", 1, tmp_path))[0].ok
        assert partial.read_text() == "text of an earlier run, longer than what follows"
        assert "output_1.txt.partial is from an earlier attempt" in reason.read_text()
        assert (await system.complete("x", 1, tmp_path))[0].ok
        assert [path.name for path in tmp_path.iterdir()] == ["output_1.txt"]
        assert (tmp_path / "output_1.txt").read_text() == "short"

    colour.run(body)


def test_a_call_of_which_nothing_arrives_leaves_no_empty_file(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "a.txt"):
        pass
    with PartialFile(tmp_path / "a.txt") as file:
        file.finish()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")
@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_a_worker_that_is_forked_meanwhile_does_not_keep_the_file(tmp_path: Path, ended: str) -> None:
    """A child that outlives its parent, which was writing."""
    path = tmp_path / "out.jsonl"
    code = (
        "import os, sys, time\n"
        "from tframex.files import LineFile\n"
        "file = LineFile(sys.argv[1])\n"
        "begun, began = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.write(began, b'x')\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os.read(begun, 1)\n"
        "file.write(['mine'])\n"
        "if sys.argv[2] == 'closed': file.__exit__(None, None, None)\n"
        "print(child, flush=True)\n"
        "os.kill(os.getpid(), 9) if sys.argv[2] == 'killed' else os._exit(0)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(path), ended], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.wait(60)
    try:
        os.kill(worker, 0)  # It is alive.
        with LineFile(path) as file:
            file.write(["yours"])
    finally:
        os.kill(worker, signal.SIGKILL)
        parent.communicate(timeout=60)
    assert path.read_text() == "mine\nyours\n"


def test_a_file_that_is_replaced_has_the_old_or_the_new_lines_wherever_it_is_killed(tmp_path: Path) -> None:
    """Killed before each call to the system that writes, in turn."""
    path = tmp_path / "out.jsonl"
    code = (
        "import os, sys\n"
        "from tframex.files import LineFile\n"
        "left = int(sys.argv[2])\n"
        "def dying(name):\n"
        "    real = getattr(os, name)\n"
        "    def call(*a, **k):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), 9)\n"
        "        return real(*a, **k)\n"
        "    setattr(os, name, call)\n"
        "file = LineFile(sys.argv[1])\n"
        "for name in ('fsync', 'replace', 'chmod', 'truncate', 'unlink'): dying(name)\n"
        "def lines():\n"
        "    global left\n"
        "    for number in range(3000):\n"
        "        left -= number % 1000 == 999\n"
        "        if left < 0: os.kill(os.getpid(), 9)\n"
        "        yield f'new {number}'\n"
        "file.replace(lines())\n"
    )
    old, new = "old\n" * 5, "".join(f"new {number}\n" for number in range(3000))
    seen = set()
    for after in range(8):
        path.write_text(old)
        done = subprocess.run([sys.executable, "-c", code, str(path), str(after)], cwd=ROOT, check=False)
        seen.add((done.returncode, path.read_text() == new))
        assert path.read_text() in (old, new)
        with LineFile(path):
            pass
        assert list(tmp_path.iterdir()) == [path]
    assert (0, True) in seen


def test_a_replaced_file_stays_where_a_link_points_and_keeps_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    path.write_text("old\n")
    path.chmod(0o640)
    try:
        link.symlink_to(path)
    except OSError:
        link = path  # Not every Windows user may make one.
    with LineFile(link) as file:
        file.replace([json.dumps("new")])
    assert (path.read_text(), path.stat().st_mode & 0o777) == ('"new"\n', 0o640 if os.name == "posix" else 0o666)
    assert link == path or link.is_symlink()


def test_a_second_run_on_one_file_is_told_so(tmp_path: Path) -> None:
    with LineFile(tmp_path / "a"), pytest.raises(OutputError, match="another run is writing it, in this process or in"):
        LineFile(tmp_path / "a")
    with LineFile(tmp_path / "a") as file:
        file.write(["mine"])
