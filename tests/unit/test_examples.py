"""The examples on a fake endpoint, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT
from tframex.testing import Answer, FakeVLLM, Fault

TEXT = "There are 43 people on board."


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy, so that results do not land in the repository."""
    ignored = shutil.ignore_patterns("example_outputs", "generated_website", "__pycache__")
    return Path(shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored))


def environment(server: FakeVLLM) -> dict[str, str]:
    return {**os.environ, "API_URL": server.url, "API_KEY": "k", "MODEL_NAME": "fake", "PYTHONPATH": str(ROOT)}


def run(examples: Path, server: FakeVLLM, *command: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=examples,
        env=environment(server),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def test_a_program_of_the_openai_client_survives_a_cut(examples: Path) -> None:
    with FakeVLLM(TEXT, faults=[Fault.cut(1500)]) as server:
        out = run(examples, server, "drop_in.py")
        assert len(server.completions()) == 2
    assert out.splitlines()[0] == TEXT
    assert out.splitlines()[1].endswith(" tokens")


def test_an_agent_of_ones_own_works_in_both_colours(examples: Path) -> None:
    with FakeVLLM(TEXT) as server:
        assert run(examples, server, "custom_agent.py") == f"{TEXT}\n" * 2
        asked = [record.body["messages"][0]["content"] for record in server.completions()]
    assert [TEXT in prompt for prompt in asked] == [False, True] * 2


def test_an_agent_calls_its_tools_and_answers_with_a_value(examples: Path) -> None:
    def play(request: Mapping[str, Any]) -> Answer:
        if request["messages"][-1]["role"] != "tool":
            return Answer(calls=[("look_up", {"part": "lens"})])
        return Answer('{"part": "lens", "in_stock": 0, "enough": false}')

    with FakeVLLM(play) as server:
        out = run(examples, server, "tools.py")
    assert out.splitlines() == [
        'look_up({"part": "lens"}) -> 0 pieces of lens in stock',
        "part='lens' in_stock=0 enough=False",
    ]


def test_facts_are_shown_as_they_come_and_have_a_type(examples: Path) -> None:
    facts = [{"about": "person", "statement": "Elin Marsh led it."}, {"about": "place", "statement": "On Gull Hill."}]
    with FakeVLLM(json.dumps({"title": "Saltmere", "facts": facts})) as server:
        lines = run(examples, server, "extract.py").splitlines()
    assert lines == ["person: Elin Marsh led it.", "place: On Gull Hill.", "2 facts about 'Saltmere'"]
    with FakeVLLM("It is an observatory.") as server:
        assert "- it is not one JSON value" in run(examples, server, "extract.py")
        assert len(server.completions()) == 3


def test_a_vote_ends_when_it_is_settled(examples: Path) -> None:
    with FakeVLLM(TEXT) as server:
        assert run(examples, server, "vote.py").startswith("43, after ")
        assert len(server.completions()) < 8


def test_a_batch_goes_on_where_it_was(examples: Path) -> None:
    with FakeVLLM(TEXT) as server:
        assert "6 lines, 0 of them from an earlier run" in run(examples, server, "batch.py")
        assert "6 lines, 6 of them from an earlier run" in run(examples, server, "batch.py")
        assert len(server.completions()) == 6


def test_a_chat_remembers_what_was_said_in_an_earlier_run(examples: Path) -> None:
    with FakeVLLM(TEXT) as server:
        assert run(examples, server, "chat.py", "Who is on board?").startswith(f"{TEXT}\n\n1 turns in ")
        again = run(examples, server, "chat.py", "And now?")
        assert again.startswith(f"> Who is on board?\n{TEXT}\n\n{TEXT}\n\n2 turns in ")
        assert [len(record.body["messages"]) for record in server.completions()] == [2, 4]


def test_a_notebook_runs_with_and_without_await(examples: Path) -> None:
    code = (
        "import nbformat, nbclient\n"
        "notebook = nbformat.read('notebook.ipynb', as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "print(nbformat.writes(notebook))"
    )
    with FakeVLLM(TEXT) as server:
        done = json.loads(run(examples, server, "-W", "default", "-c", code))
    shown = ["".join(str(output) for output in cell.get("outputs", ())) for cell in done["cells"]]
    assert [TEXT in output for output in shown] == [False, False, False, True, True, False, True, False]
    committed = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in committed["cells"]), "the outputs are not to be committed"


PLAN = json.dumps({"files": [{"path": "index.html", "purpose": "all"}, {"path": "style.css", "purpose": "colours"}]})


def test_the_website_builder_does_not_hide_a_module_of_the_standard_library(examples: Path) -> None:
    """Its file is named `html.py`, and Python puts the folder of a program first on `sys.path`."""
    code = (
        "import runpy, sys\n"
        "sys.path[0], sys.argv = 'website_builder', ['html.py', 'a site about a ferry']\n"
        "runpy.run_path('website_builder/html.py', run_name='__main__')\n"
        "import html\n"
        "print(html.escape('<'))"
    )
    with FakeVLLM(PLAN) as server:
        run(examples, server, "website_builder/html.py", "a site about a ferry")
        assert run(examples, server, "-c", code).endswith("&lt;\n")
    written = (examples / "website_builder" / "generated_website").iterdir()
    assert sorted(path.name for path in written) == ["index.html", "style.css"]


# -- the web service -------------------------------------------------------------------------------------------------------


@contextmanager
def service(examples: Path, server: FakeVLLM) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "fastapi_app:app"],
        cwd=examples,
        env=environment(server),
    )
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the one that looks whether the port answers
def test_a_web_service_streams_and_stops_generating_when_the_reader_leaves(examples: Path) -> None:
    with FakeVLLM("word " * 900, delay=0.01) as server, service(examples, server) as url:
        with httpx2.stream("GET", f"{url}/ask", params={"question": "Tell"}, timeout=30) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines).removeprefix("data: ")) == "word"
        until(lambda: server.completions()[-1].hung_up is not None)
        assert server.completions()[-1].tokens < 900
        server.delay = 0
        complete = httpx2.get(f"{url}/ask", params={"question": "Tell"}, timeout=60).text
        assert complete.endswith("event: done\ndata: null\n\n")
        pieces = [
            json.loads(line.removeprefix("data: ")) for line in complete.splitlines() if line.startswith("data: ")
        ]
        assert "".join(pieces[:-1]) == "word " * 900
        server.faults.append(Fault.answer(b'{"error":"no"}', status=400))
        assert "event: error" in httpx2.get(f"{url}/ask", params={"question": "Tell"}, timeout=60).text
