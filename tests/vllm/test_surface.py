"""Everything there is, on a real vLLM, in every colour."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

import tframex
from tests.conftest import ROOT, USER, Colour
from tests.vllm.server import KEY, MODEL, WINDOW, Server
from tframex.agents import BasicAgent, ContextAgent
from tframex.model import Completion, VLLMModel
from tframex.systems import ChainOfAgents, MapReduceSystem, MultiCallSystem

GREEDY: dict[str, Any] = {"temperature": 0}


def model_of(server: Server, **settings: Any) -> VLLMModel:
    return VLLMModel(MODEL, server.url, KEY, **settings)


def test_a_model_answers_in_all_three_ways(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=12)) as model:
            completion = await model.call(USER, **GREEDY)
            assert completion.finish_reason == "length"
            assert completion.usage.completion_tokens == 12
            assert completion.evidence == ("finish_reason", "usage", "[DONE]")
            assert "".join([piece async for piece in model.call_stream(USER, **GREEDY)]) == completion.text
            *deltas, last = [event async for event in model.stream(USER, **GREEDY)]
            assert isinstance(last, Completion)
            assert "".join(delta.content for delta in deltas) == last.text == completion.text
            assert await model.window() == WINDOW

    colour.run(body)


def test_agents_answer_in_all_four_ways(colour: Colour, vllm: Server, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm)) as model:
            inner = Colour.original(model)
            options = {**GREEDY, "max_tokens": 10}
            agent = colour.make(BasicAgent("agent", inner, system_prompt="Be brief."))
            text = await agent.run("Name three colours.", **options)
            assert "".join([piece async for piece in agent.stream("Name three colours.", **options)]) == text
            assert (await agent.complete("Name three colours.", **options)).text == text
            assert (await agent.stream_to_file("Name three colours.", tmp_path / "a", **options)).text == text
            assert (tmp_path / "a").read_text(encoding="utf-8") == text
            reader = colour.make(ContextAgent("reader", inner, "The ferry leaves at 22:40."))
            assert await reader.run("When does the ferry leave?", **options)

    colour.run(body)


def test_long_texts_fit_and_are_not_read_twice(colour: Colour, vllm: Server, tmp_path: Path) -> None:
    text = (ROOT / "examples" / "longtext.txt").read_text(encoding="utf-8")[:9000]

    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=60)) as model:
            for kind in (ChainOfAgents, MapReduceSystem):
                system = colour.make(kind("long", Colour.original(model), max_notes=60))
                keep = tmp_path / f"{kind.__name__}.sqlite"
                result = await system.complete("What was the first boat called?", text, checkpoint=keep, **GREEDY)
                assert len(result.steps) > 2
                for step in result.steps:
                    assert step.usage.prompt_tokens == step.prompt_tokens
                    assert step.prompt_tokens + step.max_tokens <= WINDOW
                again = await system.complete("What was the first boat called?", text, checkpoint=keep, **GREEDY)
                assert again.text == result.text
                assert all(step.from_checkpoint for step in again.steps)

    colour.run(body)


def test_many_calls_of_every_kind(colour: Colour, vllm: Server, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=8)) as model:
            system = colour.make(MultiCallSystem("many", Colour.original(model)))
            paths = await system.run("Name a colour.", 3, tmp_path / "out", seed=1)
            samples = await system.sample("Name a colour.", 3, seed=1)
            assert [Path(path).read_text(encoding="utf-8") for path in paths.values()] == samples.texts
            assert len((await system.map(["One?", "Two?"])).texts) == 2
            vote = await system.vote("Name a colour.", 6, allow_truncated=True, **GREEDY)
            assert max(vote.counts.values()) >= 3
            assert (await system.best_of("Name a colour.", 2, len, allow_truncated=True)).text
            (tmp_path / "in.jsonl").write_text('"One?"\n{"prompt": "Two?", "max_tokens": 3}\n')
            result = await system.run_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", ignore_eos=True)
            assert (result.lines, result.failed) == (2, 0)
            lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
            assert [line["usage"]["completion_tokens"] for line in lines] == [8, 3]

    colour.run(body)


def test_the_drop_in_clients_give_what_the_official_ones_give(vllm: Server) -> None:
    import openai

    options: dict[str, Any] = {"model": MODEL, "messages": USER, "max_tokens": 10, "temperature": 0, "stream": True}

    def text(client: Any) -> list[str]:
        with client:
            return [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**options)]

    async def text_async() -> list[str]:
        async with tframex.AsyncOpenAI(base_url=vllm.url, api_key=KEY) as client:
            stream: Any = await client.chat.completions.create(**options)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    expected = text(openai.OpenAI(base_url=vllm.url, api_key=KEY))
    assert len(expected) > 5
    assert text(tframex.OpenAI(base_url=vllm.url, api_key=KEY)) == expected
    assert asyncio.run(text_async()) == expected
    assert anyio.run(text_async, backend="trio") == expected


@pytest.fixture
def settled(vllm: Server) -> Server:
    """Nothing is being generated when the test begins."""
    until(lambda: vllm.running() == 0)
    return vllm


def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stream_that_is_left_leaves_the_running_queue(colour: Colour, settled: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(settled)) as model:
            stream = model.call_stream(USER, max_tokens=1900, ignore_eos=True)
            async for _ in stream:
                break
            assert settled.running() == 1
            await stream.aclose()
            deadline = time.monotonic() + 20
            while settled.running():
                # The server counts again only when it works; 1,900 tokens would take it more than a minute.
                assert time.monotonic() < deadline
                await model.call(USER, max_tokens=1)

    colour.run(body)


def test_the_doctor_finds_it_healthy(vllm: Server) -> None:
    command = [sys.executable, "-m", "tframex", "doctor", "--json", "--api-url", vllm.url, "--api-key", KEY]
    done = subprocess.run([*command, "--timeout", "60"], capture_output=True, text=True, check=False)
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, checks
    assert checks["server"]["detail"] == "vLLM 0.32.0"
    assert checks["context window"]["data"] == {"tokens": WINDOW}
    assert checks["continuing"]["data"] == {"how": "token_ids"}
    for name in ("API", "model", "tokenizer", "streaming", "usage", "idle connections"):
        assert checks[name]["status"] == "ok", checks[name]
