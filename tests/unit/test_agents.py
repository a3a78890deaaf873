"""Agents in every colour, the user's own included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colour, ask
from tframex import sync
from tframex._types import Message, Messages
from tframex.agents import BaseAgent, BasicAgent, ContextAgent
from tframex.errors import ConfigurationError, ModelConnectionError, OutputError, StreamInterruptedError
from tframex.model import BaseModel, Completion, VLLMModel
from tframex.testing import FakeVLLM, Fault, ScriptedModel


def test_basic_agent_sends_the_prompt_and_returns_the_answer(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("basic", model))
        assert await agent.run("Name a colour.", temperature=0) == "Red, of course."
        assert [piece async for piece in agent.stream("Name a colour.")] == ["Red,", " of", " course."]
        completion = await agent.complete("Name a colour.")
        assert (completion.text, completion.finish_reason) == ("Red, of course.", None)

    model = ScriptedModel("Red, of course.")
    colour.run(body)
    assert model.calls[0] == (ask("Name a colour."), {"temperature": 0})


def test_context_agent_puts_its_context_first(colour: Colour) -> None:
    async def body() -> None:
        await colour.make(ContextAgent("c", model, "The sky is green.", system_prompt="Be brief.")).run("Which colour?")

    model = ScriptedModel("Green.")
    colour.run(body)
    assert model.calls[0][0] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Context:\nThe sky is green.\n\nWhich colour?"},
    ]


def test_stream_to_file_writes_the_answer_as_it_arrives(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("a", ScriptedModel("one\r\ntwo é")))
        completion = await agent.stream_to_file("go", path)
        assert isinstance(completion, Completion)

    path = tmp_path / "deep" / "answer.txt"
    colour.run(body)
    assert path.read_bytes() == "one\r\ntwo é".encode()
    assert [file.name for file in path.parent.iterdir()] == ["answer.txt"]


def test_a_broken_answer_leaves_its_partial_file_and_the_older_whole_one(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with VLLMModel("fake", server.url, "k", resume="never") as model:
            with pytest.raises(StreamInterruptedError) as caught:
                await BasicAgent("a", model).stream_to_file("go", path)
        assert caught.value.partial == (tmp_path / "answer.txt.partial").read_text(encoding="utf-8") != ""

    path = tmp_path / "answer.txt"
    path.write_text("older")
    with FakeVLLM(faults=[Fault.cut(2000)]) as server:
        asyncio.run(body())
    assert path.read_text() == "older"


def test_a_file_that_cannot_be_written_is_named(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("a", ScriptedModel("x")))
        with pytest.raises(OutputError, match="it is a folder") as caught:
            await agent.stream_to_file("go", tmp_path)
        assert caught.value.path == str(tmp_path)
        with pytest.raises(OutputError, match="it is a file"):
            await agent.stream_to_file("go", tmp_path / "file" / "answer.txt")

    (tmp_path / "file").write_text("")
    colour.run(body)


def test_a_full_disk_is_reported_and_what_was_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tframex.files._partial import PartialFile

    with pytest.raises(OutputError, match="No space left") as caught, PartialFile(tmp_path / "a.txt") as file:
        file.write("first")

        def full(_: str) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(file._file, "write", full, raising=False)
        file.write("second")
    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "a.txt.partial").read_text() == "first"


@pytest.mark.parametrize("prompt", ["", "  ", None, 7, ["hi"]])
def test_an_empty_prompt_is_refused(colour: Colour, prompt: Any) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("a", ScriptedModel("x")))
        for method in (agent.run, agent.complete):
            with pytest.raises(ConfigurationError, match="prompt must be a non-empty string"):
                await method(prompt)
        with pytest.raises(ConfigurationError):
            [piece async for piece in agent.stream(prompt)]

    colour.run(body)


def test_an_agent_needs_a_name_a_model_and_a_context() -> None:
    with pytest.raises(ConfigurationError, match="agent_id"):
        BasicAgent("", ScriptedModel("x"))
    with pytest.raises(ConfigurationError, match="not str"):
        BasicAgent("a", "gpt")  # type: ignore[arg-type] # refused
    with pytest.raises(ConfigurationError, match="context"):
        ContextAgent("a", ScriptedModel("x"), "")
    with pytest.raises(ConfigurationError, match="Take both from the same place"):
        BasicAgent("a", sync.blocking(ScriptedModel("x")))  # type: ignore[arg-type] # refused
    with pytest.raises(ConfigurationError, match=r"tframex\.sync"):
        sync.BasicAgent("a", "gpt")  # type: ignore[arg-type] # refused
    with pytest.raises(ConfigurationError, match="synchronous already"):
        sync.blocking("gpt")  # type: ignore[call-overload] # refused
    with pytest.raises(TypeError, match="abstract"):
        BaseAgent("a", ScriptedModel("x"))  # type: ignore[abstract] # refused


class Twice(BaseAgent):
    """A user's own agent: asks, then asks for a second opinion."""

    async def run(self, prompt: str, **options: Any) -> str:
        first = await self._stream_and_aggregate(ask(prompt), **options)
        return await self._stream_and_aggregate(ask(f"Is this right? {first}"), **options)


def test_a_user_s_own_agent_that_only_has_run_has_everything(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        agent = colour.make(Twice("twice", ScriptedModel(["Red.", "It is red."] * 4)))
        assert await agent.run("?") == "It is red."
        assert [piece async for piece in agent.stream("?")] == ["It is red."]
        assert (await agent.complete("?")).text == "It is red."
        await agent.stream_to_file("?", tmp_path / f"{colour.name}.txt")
        assert (tmp_path / f"{colour.name}.txt").read_text() == "It is red."

    colour.run(body)


class Shouting(BasicAgent):
    """A user's own agent that only says which messages to send."""

    def build_messages(self, prompt: str) -> list[Message]:
        return super().build_messages(prompt.upper())


def test_a_user_s_own_messages_stream(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(Shouting("s", model))
        assert [piece async for piece in agent.stream("hi")] == ["Loud", " answer."]

    model = ScriptedModel("Loud answer.")
    colour.run(body)
    assert model.calls[0][0] == ask("HI")


class Echo(BaseModel):
    """A user's own model: only `call_stream`."""

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        for word in messages[-1]["content"].split():
            yield word


def test_a_user_s_own_model_has_everything(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(Echo("echo")) as model:
            assert (await model.call(ask("a b"))).text == "ab"
            *deltas, completion = [event async for event in model.stream(ask("a b"))]
            assert [delta.content for delta in deltas] == ["a", "b"]
            assert (completion.model_id, completion.finish_reason, completion.evidence) == ("echo", None, ())
        assert await colour.make(BasicAgent("a", Echo("echo"))).run("c d") == "cd"

    colour.run(body)


def test_a_model_whose_stream_has_no_end_is_told_so() -> None:
    class Endless(Echo):
        async def stream(self, messages: Messages, **options: Any) -> AsyncGenerator[Any, None]:
            for _ in ():
                yield _

    with pytest.raises(TypeError, match="must end with a Completion"):
        asyncio.run(Endless("e").call(ask("a")))
    with pytest.raises(ConfigurationError, match="model_id"):
        Echo("")


def test_the_error_of_a_script_is_raised() -> None:
    model = ScriptedModel([ModelConnectionError("down"), "up"])
    with pytest.raises(ModelConnectionError, match="down"):
        asyncio.run(model.call(ask("x")))
    assert asyncio.run(model.call(ask("x"))).text == "up"
    with pytest.raises(ConfigurationError, match="no answer left for call 3"):
        asyncio.run(model.call(ask("x")))


def test_objects_show_what_they_are() -> None:
    model = Echo("echo")
    assert repr(BasicAgent("a", model)) == "BasicAgent('a', Echo('echo'))"
    assert repr(sync.blocking(model)) == "sync.Echo('echo')"
    agent = sync.blocking(BasicAgent("a", model))
    assert (agent.agent_id, agent.model.model_id, agent.build_messages("x")) == ("a", "echo", ask("x"))
