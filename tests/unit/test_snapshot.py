"""What a call is given is what it sends, whatever becomes of the list afterwards."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

import tframex
from tests.conftest import Colour
from tframex import sync
from tframex._types import Messages
from tframex.agents import BaseAgent
from tframex.errors import ConfigurationError
from tframex.model import BaseModel, VLLMModel
from tframex.systems import MapReduceSystem, MultiCallSystem
from tframex.testing import FakeVLLM, Fault

TEXT = "One two three four five six seven eight nine ten"
STREAMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "call_stream": lambda model, messages, options: model.call_stream(messages, **options),
    "stream": lambda model, messages, options: model.stream(messages, **options),
    "events": lambda model, messages, options: model.events(messages, **options),
    "by name": lambda model, messages, options: model.call_stream(messages=messages, **options),
    "stream_after": lambda model, messages, options: model.stream_after(messages, "One", 1, **options),
}


class Own(BaseModel):
    """A user's own model, which has only what it must have."""

    def __init__(self) -> None:
        super().__init__("own")
        self.asked: list[Messages] = []

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        self.asked.append(messages)
        yield "Red."


class Asking(BaseAgent):
    async def run(self, prompt: str, **options: Any) -> str:
        history: list[Any] = [{"role": "user", "content": prompt}]
        answer = self._stream_and_aggregate(history, **options)
        history.append({"role": "user", "content": "Later."})
        return await answer


def conversation() -> tuple[list[Any], dict[str, Any], Callable[[], None]]:
    """A conversation and options, and what changes both."""
    history: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Count."}]}]
    stop = ["eleven"]

    def change() -> None:
        history[0]["content"][0]["text"] = "Changed."
        history.append({"role": "user", "content": "Later."})
        stop.append("later")

    return history, {"stop": stop}, change


def check(sent: dict[str, Any]) -> None:
    assert sent["messages"][0] == {"role": "user", "content": [{"type": "text", "text": "Count."}]}
    assert all(message["role"] == "assistant" for message in sent["messages"][1:])
    assert sent["stop"] == ["eleven"]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_sends_the_conversation_it_was_called_with(colour: Colour, name: str) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            history, options, change = conversation()
            pieces = STREAMS[name](model, history, options)
            change()
            async with aclosing(pieces):
                async for _ in pieces:
                    pass
        check(server.completions()[0].body)

    with FakeVLLM(TEXT) as server:
        colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_sends_the_conversation_it_was_called_with_whenever_it_is_awaited(backend: str) -> None:
    """As a task that begins later, say, or one of several that are gathered."""

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k") as model:
            history, options, change = conversation()
            answer = model.call(history, **options)
            change()
            assert (await answer).text == TEXT
        check(server.completions()[0].body)

    with FakeVLLM(TEXT) as server:
        Colour(backend).run(body)


def test_a_model_of_one_s_own_is_asked_what_was_said_at_the_call(colour: Colour) -> None:
    async def body() -> None:
        own = Own()
        model = colour.make(own)
        for name in ("stream", "events"):
            history, options, change = conversation()
            pieces = getattr(model, name)(history, **options)
            change()
            async for _ in pieces:
                pass
        for asked in own.asked:
            check({"messages": asked, "stop": ["eleven"]})
        assert len(own.asked) == 2

    colour.run(body)


def test_the_agents_helper_sends_what_it_was_called_with(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            agent = colour.make(Asking("asking", colour.original(model)))
            assert await agent.run("Count.") == TEXT

    with FakeVLLM(TEXT) as server:
        colour.run(body)
    assert len(server.completions()[0].body["messages"]) == 1


@pytest.mark.usefixtures("no_wait")
def test_the_continuation_of_a_drop_in_is_that_of_the_request_that_was_sent(colour: Colour) -> None:
    """Also where the stream is first read when the history has changed."""

    async def asynchronous() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            history, options, change = conversation()
            stream = await client.chat.completions.create(model="fake", messages=history, stream=True, **options)
            change()
            async for _ in stream:
                pass

    def synchronous() -> None:
        with tframex.OpenAI(base_url=server.url, api_key="k") as client:
            history, options, change = conversation()
            for _ in (stream := client.chat.completions.create(model="fake", messages=history, stream=True, **options)):
                change()
                break
            for _ in stream:
                pass

    def synchronous_unread() -> None:
        with tframex.OpenAI(base_url=server.url, api_key="k") as client:
            history, options, change = conversation()
            stream = client.chat.completions.create(model="fake", messages=history, stream=True, **options)
            change()
            for _ in stream:
                pass

    runs = [synchronous, synchronous_unread] if colour.name == "sync" else [lambda: colour.run(asynchronous)]
    for run in runs:
        with FakeVLLM(TEXT, faults=[Fault.cut(1500)]) as server:
            run()
        assert len(server.completions()) == 2
        for record in server.completions():
            check(record.body)


# -- and is otherwise what it was ------------------------------------------------------------------------------------


def test_streams_are_generators_that_can_be_closed_and_calls_are_coroutines() -> None:
    model = VLLMModel("fake", "http://127.0.0.1:9", "k")
    for name, ask in STREAMS.items():
        assert inspect.isasyncgen(ask(model, [], {})), name
    call = model.call([])
    assert inspect.iscoroutine(call)
    call.close()
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(model.call)
    for name in ("call_stream", "stream", "events"):
        generator = getattr(sync.blocking(model), name)([])
        assert inspect.isgenerator(generator)
        generator.close()


def test_what_is_wrong_with_a_conversation_is_said_when_its_stream_is_read(colour: Colour) -> None:
    circular: dict[str, Any] = {"role": "user", "content": []}
    circular["content"].append(circular)

    async def body() -> None:
        model = colour.make(VLLMModel("fake", "http://127.0.0.1:9", "k"))
        for wrong, said in (([], "empty"), ("Hi.", "must be a list"), (7, "must be a list"), ([circular], "as JSON")):
            pieces = model.call_stream(wrong)
            with pytest.raises(ConfigurationError, match=said):
                await pieces.__aiter__().__anext__()

    colour.run(body)


def test_a_missing_conversation_is_named_with_the_method_it_is_missing_from() -> None:
    model: Any = VLLMModel("fake", "http://127.0.0.1:9", "k")
    for thing in (model, sync.blocking(model)):
        with pytest.raises(TypeError, match=r"call_stream\(\) missing 1 required positional argument: 'messages'"):
            thing.call_stream()


def test_many_conversations_are_sent_as_they_were_at_the_call() -> None:
    async def body() -> None:
        async with VLLMModel("fake", server.url, "k") as model:
            history, options, change = conversation()
            prompts: list[Any] = [history]
            answers = MultiCallSystem("many", model).map(prompts, **options)
            change()
            prompts.append("Later.")
            assert len(await answers) == 1
            texts = ["The text."]
            results = MapReduceSystem("read", model).run_many("Who?", texts)
            texts[0] = "Another."
            assert len(await results) == 1
        check(server.completions()[0].body)
        assert "The text." in str(server.completions()[1].body)

    with FakeVLLM(TEXT) as server:
        Colour("asyncio").run(body)
