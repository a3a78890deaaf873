"""What models, agents and systems emit while they run, and what is derived from it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import USER, Colour, ask
from tframex._types import Message, Messages
from tframex.agents import BaseAgent, BasicAgent
from tframex.completion import Usage
from tframex.errors import ModelConnectionError, StreamInterruptedError
from tframex.events import (
    CallResumed,
    CallRetried,
    CallStarted,
    Event,
    ReasoningPiece,
    RunFinished,
    StepFinished,
    TextPiece,
    ToolCallPiece,
    in_step,
    pieces_of,
)
from tframex.model import BaseModel, Choice, Completion, Delta, ToolCall, VLLMModel, record_calls, total_usage
from tframex.systems import BaseSystem
from tframex.testing import Answer, FakeVLLM, Fault, ScriptedModel

TEXT = "One two three, and a good deal more than that, so that there is a middle to break off in."

pytestmark = pytest.mark.usefixtures("no_wait")


def kinds(events: list[Event]) -> list[str]:
    """The names of the events; several pieces of one kind in a row are one."""
    names = [type(event).__name__ for event in events]
    return [name for position, name in enumerate(names) if position == 0 or name != names[position - 1]]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPiece))


def test_a_model_emits_its_call_the_pieces_of_the_answer_and_the_completion(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            events = [event async for event in model.events(USER)]
        assert events[0] == CallStarted("answer", "answer", "fake")
        assert kinds(events) == ["CallStarted", "TextPiece", "RunFinished"]
        assert text_of(events) == events[-1].result.text == TEXT
        assert len(events) > 10

    with FakeVLLM(TEXT) as server:
        colour.run(body)


def test_separate_reasoning_is_an_event_by_itself(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", reasoning="separate")) as model:
            events = [event async for event in model.events(USER)]
        assert kinds(events) == ["CallStarted", "ReasoningPiece", "TextPiece", "RunFinished"]

    with FakeVLLM(Answer("Blue.", "I wonder.")) as server:
        colour.run(body)


def test_a_retry_and_a_continuation_are_events(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            events = [event async for event in model.events(USER)]
        retried = next(event for event in events if isinstance(event, CallRetried))
        assert ("503" in str(retried.error), retried.dropped) == (True, 0)
        resumed = next(event for event in events if isinstance(event, CallResumed))
        assert (resumed.how, resumed.tokens > 0) == ("continue", True)
        assert kinds(events) == ["CallStarted", "CallRetried", "TextPiece", "CallResumed", "TextPiece", "RunFinished"]
        assert text_of(events) == events[-1].result.text == TEXT

    with FakeVLLM(TEXT, faults=[Fault.busy(), Fault.cut(3000)]) as server:
        colour.run(body)


def test_an_answer_that_cannot_be_continued_may_start_over_where_that_is_asked_for(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            events = [event async for event in model.events(USER, restart=True)]
            retried = next(event for event in events if isinstance(event, CallRetried))
            # What was emitted until then is void.
            assert text_of(events) == TEXT[: retried.dropped] + TEXT
            assert (retried.dropped > 0, events[-1].result.text) == (True, TEXT)
            with pytest.raises(StreamInterruptedError):
                [event async for event in model.events(USER)]

    with FakeVLLM(TEXT, dialect="openai", faults=[Fault.cut(3000), None, Fault.cut(3000)]) as server:
        colour.run(body)


def test_an_agent_s_run_survives_what_its_stream_cannot(colour: Colour, tmp_path: Path) -> None:
    """What was not shown yet may be asked for again; what was handed out may not."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            agent = colour.make(BasicAgent("a", colour.original(model)))
            assert await agent.run("go") == TEXT
            assert (await agent.complete("go")).retries == 1
            with pytest.raises(StreamInterruptedError):
                [piece async for piece in agent.stream("go")]
            with pytest.raises(StreamInterruptedError):
                await agent.stream_to_file("go", tmp_path / "answer.txt")

    cut = Fault.cut(3000)
    with FakeVLLM(TEXT, dialect="openai", faults=[cut, None, cut, None, cut, cut]) as server:
        colour.run(body)


def test_a_model_of_text_alone_has_events_too(colour: Colour) -> None:
    async def body() -> None:
        events = [event async for event in colour.make(ScriptedModel("Red, of course.", model_id="m")).events(USER)]
        assert events[0] == CallStarted("answer", "answer", "m")
        assert text_of(events) == events[-1].result.text == "Red, of course."

    colour.run(body)


class Marking(BasicAgent):
    def build_messages(self, prompt: str) -> list[Message]:
        return super().build_messages(f"Mark: {prompt}")


def test_an_agent_that_says_which_messages_to_send_streams_its_events(colour: Colour) -> None:
    async def body() -> None:
        events = [event async for event in colour.make(Marking("m", model)).events("hi")]
        assert kinds(events) == ["CallStarted", "TextPiece", "StepFinished", "RunFinished"]
        assert events[-2] == StepFinished("answer", "answer", events[-1].result)

    model = ScriptedModel("A good one.")
    colour.run(body)
    assert model.calls[0][0] == ask("Mark: hi")


class Careful(BaseAgent):
    """A user's own agent, which makes three calls in one run."""

    async def run(self, prompt: str, **options: Any) -> str:
        first = await self._stream_and_aggregate(prompt, **options)
        second = await self._stream_and_aggregate(f"Better than: {first}", **options)
        return await self._stream_and_aggregate(ask(f"Which? {first} {second}"), **options)


def test_the_completion_of_an_agent_has_the_usage_of_all_its_calls(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            agent = colour.make(Careful("careful", colour.original(model)))
            events = [event async for event in agent.events("go")]
            assert kinds(events) == ["StepFinished", "TextPiece", "RunFinished"]
            calls: list[Any] = [event.completion for event in events if isinstance(event, StepFinished)]
            completion = events[-1].result
            assert len(calls) == 3
            assert completion.usage.completion_tokens == server.tokens
            assert completion.usage.prompt_tokens == sum(call.usage.prompt_tokens for call in calls)
            assert (completion.text, completion.finish_reason, completion.retries) == (TEXT, "stop", 1)
            assert (await agent.complete("go")).usage.completion_tokens * 2 == server.tokens

    with FakeVLLM(TEXT, faults=[None, Fault.busy()]) as server:
        colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_runs_of_one_agent_do_not_mix_their_usage(backend: str) -> None:
    async def main() -> None:
        async with VLLMModel("fake", server.url, "k") as model, anyio.create_task_group() as group:
            agent = Careful("careful", model)
            found: list[Completion] = []

            async def one() -> None:
                found.append(await agent.complete("go"))

            for _ in range(5):
                group.start_soon(one)
        assert {completion.usage.completion_tokens for completion in found if completion.usage} == {server.tokens // 5}

    with FakeVLLM(TEXT) as server:
        anyio.run(main, backend=backend)


class Asking(BaseAgent):
    """Asks another agent, and its model in every way there is."""

    async def run(self, prompt: str, **options: Any) -> str:
        await BasicAgent("other", self.model).run(prompt)
        await BasicAgent("another", self.model).complete(prompt)
        await self.model.call(USER)
        async for _ in self.model.stream(USER):
            pass
        async with anyio.create_task_group() as group:
            group.start_soon(self.model.call, USER)
        return "".join([piece async for piece in self.model.call_stream(USER)]).upper()


def test_calls_are_counted_however_and_in_whatever_task_they_are_made(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await colour.make(Asking("a", colour.original(model))).complete("go")
        assert completion.usage.completion_tokens == server.tokens
        # Its text is that of no call, so nothing is said of its end.
        assert (completion.text, completion.finish_reason, completion.evidence) == (TEXT.upper(), None, ())
        assert len(server.completions()) == 6

    with FakeVLLM(TEXT) as server:
        colour.run(body)


def test_an_agent_of_one_call_returns_its_completion(colour: Colour) -> None:
    class One(BaseAgent):
        async def run(self, prompt: str, **options: Any) -> str:
            return await self._stream_and_aggregate(prompt, **options)

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await colour.make(One("one", colour.original(model))).complete("go", max_tokens=3)
        assert (completion.finish_reason, completion.evidence) == ("length", ("finish_reason", "usage", "[DONE]"))

    with FakeVLLM(TEXT) as server:
        colour.run(body)


class Shouting(BasicAgent):
    """A user's own `run` around the basic one."""

    async def run(self, prompt: str, **options: Any) -> Any:
        return (await super().run(prompt, **options)).upper()


def test_a_basic_agent_with_a_run_of_its_own_says_the_same_in_every_way(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        agent = colour.make(Shouting("s", ScriptedModel(["red"] * 4)))
        assert await agent.run("?") == "RED"
        assert (await agent.complete("?")).text == "RED"
        assert [piece async for piece in agent.stream("?")] == ["RED"]
        await agent.stream_to_file("?", tmp_path / "answer.txt")
        assert (tmp_path / "answer.txt").read_text() == "RED"

    colour.run(body)


class Noting(BasicAgent):
    """A user's own events around the basic ones."""

    async def events(self, prompt: str, *, restart: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        yield TextPiece("> ")
        async for event in super().events(prompt, restart=restart, **options):
            if isinstance(event, RunFinished):
                event = RunFinished(Completion((Choice(f"> {event.result.text}"),)))
            yield event


def test_what_a_subclass_does_to_its_events_is_in_all_that_is_derived_from_them(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(Noting("n", ScriptedModel(["red"] * 3)))
        assert await agent.run("?") == "> red"
        assert (await agent.complete("?")).text == "> red"
        assert [piece async for piece in agent.stream("?")] == ["> ", "red"]

    colour.run(body)


class Debate(BaseSystem):
    """A user's own system that only has `run`."""

    async def run(self, question: str, **options: Any) -> str:
        pro = await BasicAgent("pro", self.model).run(question, **options)
        return f"{pro} {await BasicAgent('con', self.model).run(question, **options)}"


def test_a_system_that_only_has_run_has_events(colour: Colour) -> None:
    async def body() -> None:
        events = [event async for event in colour.make(Debate("d", ScriptedModel(["Yes.", "No."]))).events("Why?")]
        assert kinds(events) == ["StepFinished", "TextPiece", "RunFinished"]
        assert [str(event.completion) for event in events if isinstance(event, StepFinished)] == ["Yes.", "No."]
        assert (text_of(events), events[-1].result) == ("Yes. No.", "Yes. No.")

    colour.run(body)


class Failing(BaseAgent):
    async def run(self, prompt: str, **options: Any) -> str:
        await self._stream_and_aggregate(prompt)
        raise ModelConnectionError("gone")


def test_a_run_that_fails_raises_and_leaves_no_record_open(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(Failing("f", ScriptedModel(["red"] * 2)))
        with pytest.raises(ModelConnectionError):
            [event async for event in agent.events("?")]

    async def outer() -> None:
        with record_calls() as calls:
            with pytest.raises(ModelConnectionError):
                await Failing("f", ScriptedModel("red")).complete("?")
            # The call was made all the same.
            assert [completion.text for completion in calls.completions] == ["red"]

    colour.run(body)
    anyio.run(outer)


def test_usages_add_up_and_say_when_a_part_is_unknown() -> None:
    def of(usage: Usage | None) -> Completion:
        return Completion((Choice(""),), usage=usage)

    known = of(Usage(10, 5, cached_tokens=4))
    assert total_usage([known, of(Usage(1, 2, reasoning_tokens=1))]) == Usage(11, 7, 4, 1)
    assert total_usage([known, of(None)]) == Usage(10, 5, 4, None, estimated=True)
    assert total_usage([of(None)]) is None
    assert total_usage([known, of(Usage(1, 1, estimated=True))]) == Usage(11, 6, 4, None, estimated=True)


def test_an_event_can_be_made_part_of_another_step() -> None:
    assert in_step(TextPiece("a", index=1), "0/3") == TextPiece("a", "0/3", 1)
    assert in_step(CallStarted(model_id="m"), "0/3", "chunk") == CallStarted("0/3", "chunk", "m")
    call = ToolCall(0, "id", "name")
    assert list(pieces_of(Delta("text", "thought", (call,), 1))) == [
        ReasoningPiece("thought", index=1),
        TextPiece("text", index=1),
        ToolCallPiece(call, index=1),
    ]


class Echo(BaseModel):
    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        yield "x"


def test_events_that_do_not_end_are_told_so() -> None:
    class Endless(BasicAgent):
        async def events(self, prompt: str, *, restart: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
            yield TextPiece("x")

    with pytest.raises(TypeError, match="the events of Endless must end with RunFinished"):
        anyio.run(Endless("e", Echo("echo")).complete, "?")
