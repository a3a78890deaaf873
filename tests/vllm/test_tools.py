"""Tools on a real vLLM, with tool flags and without any: the same programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colour
from tests.vllm import programs
from tests.vllm.server import KEY, Server
from tests.vllm.test_surface import model_of
from tframex.errors import ModelStatusError
from tframex.model import VLLMModel


@pytest.fixture(scope="module")
def flagged(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that was started with a tool parser."""
    log = tmp_path_factory.mktemp("tools") / "tools.log"
    flags = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    with Server(home, log, "--api-key", KEY, *flags) as server:
        server.wait()
        yield server


@pytest.fixture(params=["with flags", "without"])
def server(request: pytest.FixtureRequest) -> Server:
    """Both of them, one after the other."""
    found: Server = request.getfixturevalue("flagged" if request.param == "with flags" else "vllm")
    return found


def settings(**more: Any) -> dict[str, Any]:
    return {"default_max_tokens": 60, "default_temperature": 0.0, **more}


def test_a_tool_and_an_answer(colour: Colour, server: Server) -> None:
    colour.run(lambda: programs.a_tool(colour, model_of(server, **settings())))


def test_two_parallel_tools(colour: Colour, server: Server) -> None:
    # It would stop after one call; before so many tokens it may not.
    longer: dict[str, Any] = {"min_tokens": 50, "max_tokens": 150}
    colour.run(lambda: programs.two_tools(colour, model_of(server, **settings()), **longer))


def test_a_typed_answer_after_a_tool(colour: Colour, server: Server) -> None:
    colour.run(lambda: programs.a_typed_answer(colour, model_of(server, **settings())))


def test_named_and_required_calls_are_valid_100_times_of_100(server: Server) -> None:
    async def body() -> None:
        async with model_of(server, **settings()) as model:
            assert await programs.valid_calls(model, 100) == 100

    Colour("asyncio").run(body)


def test_what_a_vllm_without_flags_says_to_tools(vllm: Server) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]

    async def body() -> None:
        async with model_of(vllm, default_max_tokens=4) as model:
            for choice, said in (
                ("auto", '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
                ("required", 'tool_choice="required" requires --tool-call-parser to be set'),
                (
                    {"type": "function", "function": {"name": "f"}},
                    'tool_choice=function "f" requires --tool-call-parser to be set',
                ),
            ):
                with pytest.raises(ModelStatusError) as refused:
                    await model.call(programs.MESSAGES, tools=tools, tool_choice=choice)
                assert said in str(refused.value)
            assert (await model.call(programs.MESSAGES, tools=tools, tool_choice="none")).text

    Colour("asyncio").run(body)


def test_tools_are_counted_by_the_server(flagged: Server) -> None:
    async def body() -> None:
        async with model_of(flagged) as model:
            assert isinstance(model, VLLMModel)
            plain = await model.count_tokens(programs.MESSAGES)
            # The template of this model does not show them.
            assert await model.count_tokens(programs.MESSAGES, tools=programs.DEFINITIONS) == plain

    Colour("asyncio").run(body)
