"""The complete surface on a real model: llama.cpp with SmolLM2-135M, embedded. It asserts mechanics, not wisdom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.conftest import ROOT, Colour, ask
from tests.vllm import programs
from tframex import sync
from tframex.agents import BasicAgent, ContextAgent
from tframex.errors import ContextLengthError, LocalServerError, ModelError
from tframex.local import LocalServer
from tframex.model import Completion, VLLMModel
from tframex.systems import ChainOfAgents, MultiCallSystem

pytestmark = pytest.mark.real_model

QUESTION = ask("Name three colours.")
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 16}


def model_of(server: LocalServer, colour: Colour, **settings: Any) -> Any:
    return colour.make(VLLMModel(server.model_name, server.url, "none", **settings))


def test_a_greedy_answer_is_the_same_in_every_way_of_asking(colour: Colour, local_server: LocalServer) -> None:
    async def body() -> None:
        async with model_of(local_server, colour) as model:
            completion = await model.call(QUESTION, **GREEDY)
            assert completion.text == "".join([piece async for piece in model.call_stream(QUESTION, **GREEDY)])
        assert completion.finish_reason == "length"
        assert (completion.usage.completion_tokens, completion.retries, completion.resumes) == (16, 0, 0)
        assert completion.evidence == ("finish_reason", "usage", "[DONE]")

    colour.run(body)


def test_agents_and_systems_answer(colour: Colour, local_server: LocalServer, tmp_path: Path) -> None:
    async def body() -> None:
        model = VLLMModel(local_server.model_name, local_server.url, "none", context_window=local_server.context_window)
        assert await colour.make(BasicAgent("a", model)).run("Say hello.", **GREEDY)
        agent = colour.make(ContextAgent("c", model, "The cat is called Moritz."))
        assert await agent.run("What is the cat called?", **GREEDY)
        text = "The keeper wrote down every ship that passed. In winter there were few. " * 12
        chain = colour.make(ChainOfAgents("chain", model, chunk_size=90, chunk_overlap=10, max_notes=16))
        steps: list[Any] = []
        assert await chain.run("What did the keeper do?", text, progress=steps.append, **GREEDY)
        assert len(steps) > 2
        multi = colour.make(MultiCallSystem("m", model, max_concurrency=2))
        paths = await multi.run("Say hello.", 3, tmp_path, **GREEDY)
        assert all(Path(path).read_text(encoding="utf-8") for path in paths.values())
        await colour.make(model).close_client()

    colour.run(body)


def test_an_overflow_is_named(colour: Colour, local_server: LocalServer) -> None:
    async def body() -> None:
        async with model_of(local_server, colour) as model:
            with pytest.raises(ContextLengthError, match="exceeds the available context size"):
                await model.call(ask("word " * 3000))

    colour.run(body)


def test_the_window_is_what_the_server_made_of_it(local_server: LocalServer) -> None:
    assert local_server.context_window == 2048
    assert local_server.model_name in repr(local_server)


def test_a_local_model_starts_at_the_first_call_and_stops_when_it_is_closed() -> None:
    with sync.VLLMModel.local(server={"slots": 1, "context_window": 512}) as model:
        assert model.call(QUESTION, **GREEDY).text
        assert model.context_window == 512
        server = model._async._connector.server
        assert server is not None
        process = psutil.Process(server.pid)
    assert not process.is_running()


def test_a_key_is_asked_for_if_one_is_set() -> None:
    with LocalServer(slots=1, context_window=256, api_key="right") as server:
        with sync.VLLMModel(server.model_name, server.url, "right") as model:
            assert model.call(QUESTION, **GREEDY).text
        with (
            sync.VLLMModel(server.model_name, server.url, "wrong") as model,
            pytest.raises(ModelError, match="API_KEY"),
        ):
            model.call(QUESTION)


def test_a_server_that_died_says_so_and_starts_again() -> None:
    with sync.VLLMModel.local(server={"slots": 1, "context_window": 256}) as model:
        model.call(QUESTION, **GREEDY)
        server = model._async._connector.server
        assert server is not None
        psutil.Process(server.pid).kill()
        psutil.Process(server.pid).wait(10)
        with pytest.raises(LocalServerError, match="died .*The next use starts it again"):
            model.call(QUESTION, **GREEDY)
        assert model.call(QUESTION, **GREEDY).text


PARENT = """
import sys, time
from tframex.local import LocalServer
server = LocalServer(slots=1, context_window=256)
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kill", ["terminate", "kill"])
def test_the_server_dies_with_its_parent_however_that_ends(kill: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        getattr(parent, kill)()
        parent.wait(10)
        child.wait(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_the_parent_does_not_keep_the_server_alive() -> None:
    code = PARENT.replace(
        "time.sleep(600)", "import os\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child, fork = (psutil.Process(int(parent.stdout.readline())) for _ in range(2))
        try:
            parent.send_signal(signal.SIGKILL)
            parent.wait(10)
            child.wait(10)
        finally:
            fork.kill()


def test_a_server_that_is_killed_and_restarted_in_the_middle_of_an_answer_is_not_noticed(colour: Colour) -> None:
    """The resumed greedy text equals the uninterrupted one; the new server knows nothing of the old one's work."""
    question = ask("Name three colours and say a little about each.")
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
    server = LocalServer(slots=1, context_window=512)
    server.start()
    first = server.pid

    async def body() -> None:
        nonlocal server
        async with colour.make(VLLMModel(server.model_name, server.url, "none", max_retries=20)) as model:
            complete = await model.call(question, **options)
            pieces: list[str] = []
            async for event in model.stream(question, **options):
                if isinstance(event, Completion):
                    assert event.resumes >= 1
                    assert event.finish_reason == complete.finish_reason
                elif event.content:
                    pieces.append(event.content)
                if len(pieces) == 12 and server.pid == first:
                    port = int(server.url.rpartition(":")[2].removesuffix("/v1"))
                    server.stop()
                    server = LocalServer(slots=1, context_window=512, port=port)
                    server.start()
        assert "".join(pieces) == complete.text

    try:
        colour.run(body)
    finally:
        server.stop()


def test_a_stop_with_an_open_stream_is_prompt() -> None:
    with LocalServer(slots=1, context_window=512) as server:
        model = sync.VLLMModel(server.model_name, server.url, "none", max_retries=0, resume="never")
        pieces = model.call_stream(ask("Tell a long story."), max_tokens=400, ignore_eos=True)
        next(pieces)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
        with pytest.raises(ModelError):
            list(pieces)


def test_a_chain_fits_the_window_of_the_real_model_and_reads_it_twice(local_server: LocalServer) -> None:
    """The sizes of its parts follow from llama.cpp's own counts. In one colour: reading takes a real model long."""
    sentences = [f"On day {day} the keeper counted {day * 7} ships, and wrote it down." for day in range(28)]

    async def body() -> None:
        async with VLLMModel(local_server.model_name, local_server.url, "none", context_window=500) as model:
            system = ChainOfAgents("chain", model, max_notes=24, paths=2)
            result = await system.complete("What did the keeper do?", " ".join(sentences), **GREEDY)
        read = [step for step in result.steps if step.kind == "chunk"]
        assert len(read) >= 4
        assert {step.path for step in read} == {0, 1}
        assert all(step.prompt_tokens + step.max_tokens <= 500 for step in result.steps)
        assert all(step.usage and step.usage.prompt_tokens == step.prompt_tokens for step in read)
        assert len(result.answers) == 2
        assert 0 < result.counting_requests < 4 * len(result.steps)

    anyio.run(body)


# -- tools -------------------------------------------------------------------------------------------------------------

STEADY: dict[str, Any] = {"default_max_tokens": 80, "default_temperature": 0.0}


def test_a_tool_and_an_answer(colour: Colour, local_server: LocalServer) -> None:
    model = VLLMModel(local_server.model_name, local_server.url, "none", **STEADY)
    colour.run(lambda: programs.a_tool(colour, model))


def test_two_parallel_tools(colour: Colour, local_server: LocalServer) -> None:
    model = VLLMModel(local_server.model_name, local_server.url, "none", **{**STEADY, "default_max_tokens": 200})
    colour.run(lambda: programs.two_tools(colour, model, programs.BOTH))


def test_a_typed_answer_after_a_tool(colour: Colour, local_server: LocalServer) -> None:
    model = VLLMModel(local_server.model_name, local_server.url, "none", **STEADY)
    colour.run(lambda: programs.a_typed_answer(colour, model))


def test_named_and_required_calls_are_valid(local_server: LocalServer) -> None:
    async def body() -> None:
        async with VLLMModel(local_server.model_name, local_server.url, "none", **STEADY) as model:
            assert await programs.valid_calls(model, 12) == 12

    Colour("asyncio").run(body)
