"""`tframex mcp`, asked by the official client through `MCPTools`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import ROOT, Colour
from tests.unit.test_mcp import ask
from tframex.events import Event, ToolProgress
from tframex.testing import FakeVLLM
from tframex.tools import MCPTools

COMMAND = [sys.executable, "-W", "error", "-m", "tframex", "mcp"]
LONG = "\n\n".join(f"Chapter {number}. It rains in Bern, and nothing happens." for number in range(150))

AGENTS = """
from pydantic import BaseModel
from tframex import BasicAgent, ChainOfAgents, ToolAgent, VLLMModel

print("this is no protocol")
model = VLLMModel.from_env()

class Forecast(BaseModel):
    city: str

def weather(city: str) -> str:
    "The forecast for a city."
    print("nor is this")
    return city

class Shelf:
    clerk = ToolAgent("the clerk", model, [weather], output_type=Forecast)

def made():
    return ChainOfAgents("chain", model)

nothing = 3
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVLLM]:
    with FakeVLLM("It rains.", context_window=1500) as fake:
        yield fake


@pytest.fixture
def env(server: FakeVLLM) -> dict[str, str]:
    return {"API_URL": server.url, "API_KEY": "k", "MAX_TOKENS": "100", "PYTHONPATH": str(ROOT)}


def test_other_agents_ask_it_to_read_a_long_text(colour: Colour, env: dict[str, str], tmp_path: Path) -> None:
    """Given as text or by its path, with progress."""
    (tmp_path / "book.txt").write_text(LONG)

    async def body() -> None:
        heard: list[Event] = []
        tools = colour.make(MCPTools(COMMAND, env=env, cwd=tmp_path))
        await tools.open()
        assert tools.names == ["read", "ask"]
        by_path = await ask(tools, "read", heard=heard, question="What happens?", path="book.txt")
        by_text = await ask(tools, "read", question="What happens?", text="It rains in Bern.")
        asked = await ask(tools, "ask", prompt="Hello?")
        outside = await ask(tools, "read", question="What happens?", path="../secret.txt")
        neither = await ask(tools, "read", question="What happens?")
        await tools.close()
        assert [found.content for found in (by_path, by_text, asked)] == ["It rains."] * 3
        assert len([event for event in heard if isinstance(event, ToolProgress)]) > 2
        assert (outside.failed, neither.failed) == (True, True)
        assert "is not in the folder" in outside.content
        assert "give either text or path" in neither.content

    colour.run(body)


def test_agents_and_systems_of_a_module_are_served(env: dict[str, str], tmp_path: Path) -> None:
    """What they print does not reach the protocol."""
    (tmp_path / "mine.py").write_text(AGENTS)
    (tmp_path / "book.txt").write_text(LONG)

    async def main() -> None:
        answer = json.dumps({"city": "Bern"})
        with FakeVLLM(answer) as fake:
            own = {**env, "API_URL": fake.url, "MODEL_NAME": "fake"}
            words = [*COMMAND, "mine:Shelf.clerk", "--description", "Knows the weather."]
            async with MCPTools(words, env=own, cwd=tmp_path) as tools:
                clerk = tools.get("the_clerk")
                assert clerk is not None
                assert clerk.description == "Knows the weather."
                assert json.loads((await ask(tools, "the_clerk", prompt="Where?")).content) == {"city": "Bern"}
        async with MCPTools([*COMMAND, "mine:made"], env={**env, "MODEL_NAME": "fake"}, cwd=tmp_path) as tools:
            assert (await ask(tools, "chain", question="What?", path="book.txt")).content == "It rains."

    anyio.run(main)


def test_it_serves_http_as_well(env: dict[str, str], tmp_path: Path) -> None:
    """On the port it names; files are not read without --folder."""
    environment: dict[str, Any] = {**os.environ, **env}
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]

        async def main() -> None:
            async with MCPTools(url) as tools:
                assert (await ask(tools, "ask", prompt="Hello?")).content == "It rains."
                assert "reads no files" in (await ask(tools, "read", question="What?", path="a")).content

        try:
            anyio.run(main)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine"], "name an agent or system as MODULE:NAME"),
        (["absent:agent"], "there is no module 'absent'"),
        (["mine:absent"], "mine has no absent"),
        (["mine:nothing"], "serves agents, ChainOfAgents and MapReduceSystem, not int"),
        ([], "no endpoint"),
    ],
)
def test_wrong_usage_says_what_is_wrong(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("nothing = 3\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
