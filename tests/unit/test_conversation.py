"""Conversations: what is remembered, what is sent of it, and what a failure leaves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel as Schema

from tests.conftest import Colour
from tests.soak.talks import SERVERS, soak_talks
from tests.unit.test_tool_agent import check_history
from tframex._types import Message
from tframex.agents import BaseAgent, BasicAgent, ContextAgent, Conversation, ToolAgent
from tframex.errors import ConfigurationError, ContextLengthError, ModelStatusError
from tframex.events import CallStarted, RunFinished, StepFinished
from tframex.model import VLLMModel
from tframex.testing import Answer, FakeVLLM, Fault, ScriptedModel


def said(request: Mapping[str, Any]) -> str:
    """An answer that names its prompt."""
    return f"You said: {request['messages'][-1]['content']}"


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def talk(colour: Colour, agent: BaseAgent, path: Path | None = None) -> Any:
    return colour.make(Conversation(agent, path))


# -- agents with a history -------------------------------------------------------------------------------------------------


def test_an_agent_answers_after_a_history_and_adds_to_it(colour: Colour) -> None:
    async def body() -> None:
        agent = colour.make(BasicAgent("a", model, system_prompt="Be brief."))
        assert await agent.run("And now?", history=history) == "Blue."
        await agent.complete("And then?", history=history)

    history = [user("A colour?"), assistant("Red.")]
    model = ScriptedModel(["Blue.", "<think>It is late.</think>\n\nGreen."])
    colour.run(body)
    system: Message = {"role": "system", "content": "Be brief."}
    assert model.calls[0] == ([system, user("A colour?"), assistant("Red."), user("And now?")], {})
    # The thought before an answer is not sent again.
    assert history[2:] == [user("And now?"), assistant("Blue."), user("And then?"), assistant("Green.")]


def test_the_context_of_an_agent_is_sent_once_and_first(colour: Colour) -> None:
    async def body() -> None:
        conversation = talk(colour, ContextAgent("c", model, "The sky is green."))
        await conversation.say("Which colour?")
        await conversation.say("Sure?")
        assert conversation.messages[:2] == [user("Which colour?"), assistant("Green.")]

    model = ScriptedModel(["Green.", "Yes."])
    colour.run(body)
    first = user("Context:\nThe sky is green.\n\nWhich colour?")
    assert [call[0] for call in model.calls] == [[first], [first, assistant("Green."), user("Sure?")]]


class Rhyming(BasicAgent):
    def build_messages(self, prompt: str) -> list[Message]:
        examples = [user("A cat"), assistant("A hat")]
        return [{"role": "system", "content": "Rhyme."}, *examples, *super().build_messages(f"{prompt}!")]


class Careful(BasicAgent):
    async def run(self, prompt: str, **options: Any) -> Any:
        draft = await super().run(prompt, **options)
        return await super().run(f"Improve: {draft}", **options)


class Own(BaseAgent):
    async def run(self, prompt: str, **options: Any) -> str:
        return await self._stream_and_aggregate(f"In short: {prompt}", **options)


class OwnEvents(BasicAgent):
    async def events(self, prompt: str, **options: Any) -> AsyncGenerator[Any, None]:
        async for event in super().events(prompt, **options):
            yield event


def test_the_history_goes_before_the_prompt_of_a_user_s_own_messages(colour: Colour) -> None:
    async def body() -> None:
        conversation = talk(colour, Rhyming("r", model))
        await conversation.say("A dog")
        await conversation.say("A log")

    model = ScriptedModel("A frog")
    colour.run(body)
    start = [{"role": "system", "content": "Rhyme."}, user("A cat"), assistant("A hat")]
    assert model.calls[1][0] == [*start, user("A dog"), assistant("A frog"), user("A log!")]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [(Careful, ["Two?", "Improve: 3"]), (Own, ["In short: Two?"]), (OwnEvents, ["Two?"])],
)
def test_a_user_s_own_agent_remembers_each_turn_once(colour: Colour, kind: Any, asked: list[str]) -> None:
    async def body() -> None:
        conversation = talk(colour, kind("own", model))
        first = await conversation.say("One?")
        assert conversation.messages == [user("One?"), assistant(first)]
        before = len(model.calls)
        second = await conversation.say("Two?")
        assert conversation.messages[2:] == [user("Two?"), assistant(second)]
        calls = [call[0] for call in model.calls[before:]]
        assert calls == [[user("One?"), assistant(first), user(prompt)] for prompt in asked]

    model = ScriptedModel([str(number) for number in range(1, 9)])
    colour.run(body)


def test_an_agent_that_would_forget_is_refused() -> None:
    class Forgetful(BaseAgent):
        async def run(self, prompt: str) -> str:  # type: ignore[override] # it takes no options
            return ""

    with pytest.raises(ConfigurationError, match=r"Forgetful.run\(\) cannot be given .* add \*\*options"):
        Conversation(Forgetful("f", ScriptedModel("x")))
    with pytest.raises(ConfigurationError, match="needs an agent, not ScriptedModel"):
        Conversation(ScriptedModel("x"))  # type: ignore[arg-type] # refused


def test_a_history_that_reaches_a_model_is_refused_with_its_reason(colour: Colour) -> None:
    class Direct(BaseAgent):
        async def run(self, prompt: str, **options: Any) -> str:
            return (await self.model.call([user(prompt)], **options)).text

    async def body() -> None:
        with FakeVLLM(said) as server:
            conversation = talk(colour, Direct("d", VLLMModel("fake", server.url, "k")))
            with pytest.raises(ConfigurationError, match="history is not an option of a model call"):
                await conversation.say("Hi")
            assert server.completions() == []

    colour.run(body)


# -- turns -----------------------------------------------------------------------------------------------------------------


def test_say_stream_events_and_complete_are_turns_of_one_conversation(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(said) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            assert await conversation.say("one") == "You said: one"
            assert "".join([piece async for piece in conversation.stream("two", interval=0.05)]) == "You said: two"
            assert (await conversation.complete("three")).text == "You said: three"
            events = [event async for event in conversation.events("four", temperature=0)]
            assert isinstance(events[0], CallStarted)
            assert isinstance(events[-1], RunFinished)
            assert [message["content"] for message in conversation.messages[::2]] == ["one", "two", "three", "four"]
            assert conversation.turns[1] == [user("two"), assistant("You said: two")]
            sent = server.completions()[-1].body
        assert [*sent["messages"], assistant("You said: four")] == conversation.messages
        assert sent["temperature"] == 0

    colour.run(body)


class City(Schema):
    name: str


def test_an_answer_of_a_conversation_can_have_a_type(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM('{"name": "Bern"}') as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            assert await conversation.say("Where?", output_type=City) == City(name="Bern")
            assert (await conversation.complete("Where?", output_type=City)).output == City(name="Bern")
            values = [value async for value in conversation.stream("Where?", output_type=City)]
        assert values[-1] == City(name="Bern")
        assert conversation.messages[-1]["content"].replace(" ", "") == '{"name":"Bern"}'
        assert len(conversation.turns) == 3

    colour.run(body)


def weather(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain"


def test_calls_of_tools_stay_in_the_history_with_their_results(colour: Colour) -> None:
    def play(request: Mapping[str, Any]) -> Answer:
        last = request["messages"][-1]
        return Answer("It rains.") if last["role"] == "tool" else Answer(calls=[("weather", {"city": "Bern"})])

    async def body() -> None:
        with FakeVLLM(play) as server:
            conversation = talk(colour, ToolAgent("t", VLLMModel("fake", server.url, "k"), [weather]))
            assert await conversation.say("Rain in Bern?") == "It rains."
            assert [piece async for piece in conversation.stream("And now?")] == ["It rains."]
            assert [message["role"] for message in conversation.messages] == [
                "user",
                "assistant",
                "tool",
                "assistant",
            ] * 2
            check_history(conversation.messages)
            assert server.completions()[-1].body["messages"] == conversation.messages[:-1]

    colour.run(body)


@pytest.mark.parametrize("how", ["say", "stream", "events", "complete"])
def test_a_turn_that_fails_leaves_the_history_as_it_was_and_says_so(colour: Colour, how: str) -> None:
    async def body() -> None:
        with FakeVLLM(said) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k", max_retries=0)))
            await conversation.say("one")
            before = conversation.messages
            server.faults.append(Fault.answer(b'{"error": "no"}', status=400))
            with pytest.raises(ModelStatusError, match="The conversation is as it was before this turn"):
                if how in ("say", "complete"):
                    await getattr(conversation, how)("two")
                else:
                    async for _ in getattr(conversation, how)("two"):
                        pass
            assert conversation.messages == before
            assert await conversation.say("three") == "You said: three"
        assert [turn[0]["content"] for turn in conversation.turns] == ["one", "three"]

    colour.run(body)


def test_tools_that_ran_in_a_turn_that_fails_leave_no_calls_behind(colour: Colour) -> None:
    def play(request: Mapping[str, Any]) -> Answer:
        return Answer(calls=[("weather", {"city": "Bern"})])

    async def body() -> None:
        with FakeVLLM(play, faults=[None, Fault.answer(b"{}", status=400)]) as server:
            conversation = talk(colour, ToolAgent("t", VLLMModel("fake", server.url, "k"), [weather]))
            with pytest.raises(ModelStatusError):
                await conversation.say("Rain in Bern?")
            assert conversation.messages == []

    colour.run(body)


def test_a_stream_that_is_left_early_is_no_turn_and_stops_the_server(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("word " * 400, delay=0.01) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            stream = conversation.stream("one")
            async with contextlib.aclosing(stream):
                async for _ in stream:
                    break
            assert conversation.messages == []
            assert server.completions()[0].tokens < 400
            server.delay = 0
            await conversation.say("two")
        assert len(conversation.turns) == 1

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_that_is_left_without_being_closed_is_closed_by_the_next_turn(backend: str) -> None:
    async def body() -> None:
        with FakeVLLM("word " * 400, delay=0.01) as server:
            async with VLLMModel("fake", server.url, "k") as model:
                conversation = Conversation(BasicAgent("a", model))
                stream = conversation.stream("one")
                async for _ in stream:
                    break
                server.delay = 0
                await conversation.say("two")
                assert [turn[0]["content"] for turn in conversation.turns] == ["two"]
                with pytest.raises(ConfigurationError, match="this stream was left before its end"):
                    await stream.__anext__()

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_prompt_during_an_answer_is_refused_and_harms_nothing(backend: str) -> None:
    async def body() -> None:
        with FakeVLLM(said, delay=0.01) as server:
            async with VLLMModel("fake", server.url, "k") as model:
                conversation = Conversation(BasicAgent("a", model))
                await conversation.say("one")
                begun = anyio.Event()

                async def first() -> None:
                    async for _ in conversation.stream("two"):
                        begun.set()

                async with anyio.create_task_group() as group:
                    group.start_soon(first)
                    await begun.wait()
                    with pytest.raises(ConfigurationError, match="answering another prompt"):
                        await conversation.say("three")
                    with pytest.raises(ConfigurationError, match="answering another prompt"):
                        await conversation.undo()
                    with pytest.raises(ConfigurationError, match="answering another prompt"):
                        await conversation.clear()
                assert [turn[0]["content"] for turn in conversation.turns] == ["one", "two"]
                await conversation.say("three")
                assert len(server.completions()) == 3

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_turn_leaves_the_history_as_it_was(backend: str) -> None:
    async def body() -> None:
        with FakeVLLM("word " * 400, delay=0.01) as server:
            async with VLLMModel("fake", server.url, "k") as model:
                conversation = Conversation(BasicAgent("a", model))
                async with anyio.create_task_group() as group:

                    async def first() -> None:
                        async for _ in conversation.stream("one"):
                            group.cancel_scope.cancel()

                    group.start_soon(first)
                assert conversation.messages == []
                server.delay = 0
                await conversation.say("two")
                assert len(conversation.turns) == 1

    anyio.run(body, backend=backend)


def test_turns_can_be_taken_back_and_forgotten(colour: Colour) -> None:
    async def body() -> None:
        conversation = talk(colour, BasicAgent("a", ScriptedModel("Yes.")))
        assert await conversation.undo() is None
        for prompt in ("one", "two", "three"):
            await conversation.say(prompt)
        assert await conversation.undo() == "three"
        assert [turn[0]["content"] for turn in conversation.turns] == ["one", "two"]
        assert await conversation.count_tokens() > 0
        await conversation.clear()
        assert conversation.messages == []

    colour.run(body)


def test_an_agent_whose_events_have_no_end_is_told_so(colour: Colour) -> None:
    class Endless(BasicAgent):
        async def events(self, prompt: str, **options: Any) -> AsyncGenerator[Any, None]:
            yield CallStarted()

    async def body() -> None:
        conversation = talk(colour, Endless("e", ScriptedModel("Yes.")))
        with pytest.raises(TypeError, match="the events of Endless must end with RunFinished"):
            await conversation.say("one")
        assert conversation.messages == []

    colour.run(body)


def test_an_empty_prompt_and_a_history_of_one_s_own_are_refused(colour: Colour) -> None:
    async def body() -> None:
        conversation = talk(colour, BasicAgent("a", ScriptedModel("Yes.")))
        with pytest.raises(ConfigurationError, match="prompt must be a non-empty string"):
            await conversation.say(" ")
        with pytest.raises(ConfigurationError, match="keeps its history itself"):
            await conversation.say("one", history=[])
        assert conversation.messages == []

    colour.run(body)


# -- the window ------------------------------------------------------------------------------------------------------------


def refused(server: FakeVLLM) -> int:
    return sum(record.tokens == 0 for record in server.completions())


def condensing(request: Mapping[str, Any]) -> str:
    """A model that keeps the last number it has read, or answers."""
    last = request["messages"][-1]["content"]
    if last.startswith("Summarise"):
        return f"They counted to {[word for word in last.split() if word.isdigit()][-2]}. " + "More was said. " * 5
    return f"{last.split()[1]} is a number, " + "and much can be said of it " * (1 + int(last.split()[1]) % 3)


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "openai"])
def test_hundreds_of_turns_stay_inside_a_small_window(colour: Colour, dialect: Any) -> None:
    turns = 60 if colour.name == "trio" else 200

    async def body() -> None:
        with FakeVLLM(condensing, dialect=dialect, context_window=500) as server:
            known = 500 if dialect == "openai" else None
            model = VLLMModel("fake", server.url, "k", context_window=known, max_retries=0)
            agent = BasicAgent("counter", model, system_prompt="You count.")
            conversation = talk(colour, agent)
            for number in range(1, turns + 1):
                answer = await conversation.say(f"number {number} please", max_tokens=60)
                assert answer.startswith(f"{number} is a number")
            asked = [record.body["messages"] for record in server.completions()]
            answered = [messages for messages in asked if not messages[-1]["content"].startswith("Summarise")]
            assert refused(server) == 0
            assert len(answered) == turns
            # Few of the calls are for summaries, whatever the server counts.
            assert turns / 20 < len(asked) - len(answered) < turns / 3
        assert len(conversation.turns) == turns
        assert turns - 40 < conversation.condensed < turns
        last = answered[-1]
        assert last[0] == {"role": "system", "content": "You count."}
        assert last[1]["content"].startswith("Summary of our conversation so far:\nThey counted to ")
        assert [message["role"] for message in last] == [
            "system",
            *["user", "assistant"] * ((len(last) - 2) // 2),
            "user",
        ]
        # The last turns are as they were.
        assert last[-5:-1] == [message for turn in conversation.turns[-3:-1] for message in turn]

    colour.run(body)


@pytest.mark.parametrize("dialect", SERVERS)
def test_no_request_of_a_random_conversation_is_refused(dialect: str) -> None:
    """`make soak` holds 200 of these."""
    figures = soak_talks(3, seed=3, dialect=dialect, turns=15)
    assert figures.refused == 0
    assert figures.condensed > 0


def test_condensing_is_an_event_and_its_tokens_are_counted(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(condensing, context_window=400) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            for number in range(1, 40):
                events = [event async for event in conversation.events(f"number {number} please", max_tokens=60)]
                if conversation.condensed:
                    break
            calls = len(server.completions()) - number
        condensed = [event for event in events if isinstance(event, StepFinished) and event.kind == "condense"]
        assert isinstance(events[0], CallStarted)
        assert events[0].kind == "condense"
        assert len(condensed) == calls + 1
        assert condensed[-1].details["turns"] == conversation.condensed
        assert condensed[-1].details["summary"].startswith("They counted to")
        answer: Any = [event.completion for event in events if isinstance(event, StepFinished)][-1]
        assert isinstance(events[-1], RunFinished)
        assert events[-1].result.usage.total_tokens > answer.usage.total_tokens
        assert events[-1].result.text == answer.text

    colour.run(body)


def test_an_unknown_window_is_learned_from_a_refusal(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(condensing, dialect="openai", context_window=500) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            for number in range(1, 61):
                await conversation.say(f"number {number} please", max_tokens=60)
            assert refused(server) == 1
        assert len(conversation.turns) == 60

    colour.run(body)


def test_a_prompt_that_is_too_long_by_itself_costs_nothing(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(condensing, context_window=500) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            await conversation.say("number 1 please")
            with pytest.raises(ContextLengthError, match="as it was before"):
                await conversation.say("word " * 600)
            assert len(server.completions()) == 1
            await conversation.say("number 2 please")
        assert len(conversation.turns) == 2

    colour.run(body)


def test_turns_longer_than_the_window_are_condensed_in_parts(colour: Colour) -> None:
    """Half of the window for each prompt: not even the last turn fits beside the next."""

    def answer(request: Mapping[str, Any]) -> str:
        last = request["messages"][-1]["content"]
        return "They counted." if last.startswith("Summarise") else "Yes. " * 60

    async def body() -> None:
        with FakeVLLM(answer, context_window=600) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            for number in range(8):
                await conversation.say(f"{number} word" * 150, max_tokens=200)
            assert refused(server) == 0
        assert len(conversation.turns) == 8

    colour.run(body)


def test_a_summary_that_is_all_thought_is_asked_for_again_with_more_room(colour: Colour) -> None:
    def answer(request: Mapping[str, Any]) -> str:
        last = request["messages"][-1]["content"]
        return f"<think>{'hm ' * 90}</think>\n\nThey counted." if last.startswith("Summarise") else "Yes. " * 20

    async def body() -> None:
        with FakeVLLM(answer, context_window=600) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            for number in range(20):
                await conversation.say(f"number {number}", max_tokens=60)
            assert refused(server) == 0
        assert conversation.messages[0]["content"].endswith("\nThey counted.")

    colour.run(body)


def test_a_conversation_with_tools_stays_inside_a_small_window(colour: Colour) -> None:
    def look_up(topic: str) -> str:
        """What is known of a topic."""
        return f"{topic}: " + "a long story " * 60

    def play(request: Mapping[str, Any]) -> str | Answer:
        last = request["messages"][-1]
        if str(last["content"]).startswith("Summarise"):
            return "They looked things up."
        return Answer("It is a long story.") if last["role"] == "tool" else Answer(calls=[("look_up", {"topic": "x"})])

    async def body() -> None:
        with FakeVLLM(play, context_window=900) as server:
            model = VLLMModel("fake", server.url, "k", max_retries=0)
            conversation = talk(colour, ToolAgent("t", model, [look_up]))
            for number in range(40):
                await conversation.say(f"topic {number}?", max_tokens=60)
            assert refused(server) == 0
            for record in server.completions():
                check_history(record.body["messages"])
        assert 0 < conversation.condensed < 40
        check_history(conversation.messages)

    colour.run(body)
