"""Answers that call tools: the same calls whichever way the endpoint takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from tests.conftest import Colour, ask
from tframex.completion import Completion, ToolCall
from tframex.errors import ConfigurationError, ContextLengthError, ModelStatusError
from tframex.events import CallRetried, CallStarted, RunFinished, TextPiece, ToolCallPiece
from tframex.model import Output, VLLMModel
from tframex.testing import Answer, FakeVLLM, Fault, ScriptedModel


def tool_of(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"It does {name}.", "parameters": schema}}


WEATHER = tool_of("weather", city={"type": "string"})
CLOCK = tool_of("clock", city={"type": "string"})
TOOLS = [WEATHER, CLOCK]
QUESTION = ask("What is the weather in Bern?")
BERN = Answer(calls=[("weather", {"city": 'Bern "{}" 静 \U0001f600'})])
BOTH = Answer("I look.", calls=[("weather", {"city": "Bern"}), ("clock", {"city": "Bern"})])

# Each way an endpoint may take tools.
SERVERS: dict[str, dict[str, Any]] = {
    "native": {},
    "tags": {"parses_tools": False},
    "action": {"dialect": "llama.cpp"},
    "openai": {"dialect": "openai"},
}


async def act(model: Any, messages: Any = QUESTION, tools: Any = TOOLS, **options: Any) -> tuple[Completion, list[Any]]:
    events = [event async for event in model.act(messages, tools=tools, **options)]
    assert isinstance(events[-1], RunFinished)
    assert [isinstance(event, CallStarted) for event in events].count(True) == 1
    return events[-1].result, events


def model_of(server: FakeVLLM, **settings: Any) -> VLLMModel:
    return VLLMModel("fake", server.url, "k", **settings)


@pytest.mark.parametrize("way", SERVERS)
def test_calls_arrive_the_same_in_every_way_that_an_endpoint_takes_tools(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: BOTH, **SERVERS[way]) as server:
            async with colour.make(model_of(server)) as model:
                completion, events = await act(model)
        calls = [(call.name, json.loads(call.arguments), call.index) for call in completion.tool_calls]
        assert calls == [("weather", {"city": "Bern"}, 0), ("clock", {"city": "Bern"}, 1)]
        assert len({call.id for call in completion.tool_calls} - {""}) == 2
        assert completion.finish_reason == "tool_calls"
        # One JSON object has no room for text beside the calls.
        assert completion.text == ("" if way == "action" else "I look.")
        pieces = [event.call for event in events if isinstance(event, ToolCallPiece)]
        assert [piece.id for piece in pieces if piece.id] == [call.id for call in completion.tool_calls]
        for call in completion.tool_calls:
            assert "".join(piece.arguments for piece in pieces if piece.index == call.index) == call.arguments
        assert "<tool_call>" not in "".join(event.text for event in events if isinstance(event, TextPiece))

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_an_answer_without_calls_is_the_text(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM("Rain, <b>12</b> degrees.", **SERVERS[way]) as server:
            async with colour.make(model_of(server)) as model:
                completion, events = await act(model)
        assert (completion.text, completion.tool_calls) == ("Rain, <b>12</b> degrees.", ())
        assert completion.finish_reason == "stop"
        assert "".join(event.text for event in events if isinstance(event, TextPiece)) == completion.text

    colour.run(body)


@pytest.mark.parametrize("way", SERVERS)
def test_any_split_of_the_bytes_gives_the_same_call(way: str) -> None:
    colour = Colour("asyncio")

    async def body() -> None:
        with FakeVLLM(lambda _: BERN, **SERVERS[way], faults=lambda _: Fault.split(size.pop())) as server:
            async with model_of(server) as model:
                # The first request is refused where there is no parser.
                for size[:] in ([1, 1], [2, 2], [3, 3], [7, 7], [1000, 1000]):
                    [call] = (await act(model))[0].tool_calls
                    assert json.loads(call.arguments) == {"city": 'Bern "{}" 静 \U0001f600'}

    size: list[int] = []
    colour.run(body)


def test_a_vllm_without_tool_flags_is_asked_its_way_after_one_refusal(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: BERN, parses_tools=False) as server:
            async with colour.make(model_of(server)) as model:
                for _ in range(3):
                    assert (await act(model))[0].tool_calls[0].name == "weather"
            native, *others = [record.body for record in server.completions()]
            assert "tools" in native
            assert len(others) == 3
            for sent in others:
                assert "tools" not in sent
                tag = json.loads(sent["structured_outputs"]["structural_tag"])
                assert tag["format"]["triggers"] == ["<tool_call>"]
                assert WEATHER["function"]["description"] in sent["messages"][0]["content"]

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_answers_that_are_refused_at_the_same_moment_are_all_asked_in_the_other_way(backend: str) -> None:
    names: list[str] = []

    async def one(model: VLLMModel) -> None:
        names.append((await act(model))[0].tool_calls[0].name)

    async def body() -> None:
        with FakeVLLM(lambda _: BERN, parses_tools=False, delay=0.01) as server:
            async with model_of(server) as model, anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(one, model)

    anyio.run(body, backend=backend)
    assert names == ["weather"] * 8


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("auto", '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        ("required", 'tool_choice="required" requires --tool-call-parser to be set'),
        ("weather", 'tool_choice=function "weather" requires --tool-call-parser to be set'),
    ],
)
def test_options_of_call_are_passed_to_the_endpoint_as_they_are(colour: Colour, choice: str, said: str) -> None:
    given: Any = {"type": "function", "function": {"name": choice}} if choice == "weather" else choice

    async def body() -> None:
        with FakeVLLM(parses_tools=False) as server:
            async with colour.make(model_of(server)) as model:
                with pytest.raises(ModelStatusError) as refused:
                    await model.call(QUESTION, tools=TOOLS, tool_choice=given)
                assert said in str(refused.value)
                assert (await model.call(QUESTION, tools=TOOLS, tool_choice="none")).text

    colour.run(body)


def test_named_and_required_calls_are_held_to_the_schema_by_strict_on_vllm(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: BERN) as server:
            async with colour.make(model_of(server)) as model:
                await act(model, choice="required")
                await act(model, choice="weather", parallel_tool_calls=False)
            required, named = [record.body for record in server.completions()]
            assert required["tool_choice"] == "required"
            assert named["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
            assert named["parallel_tool_calls"] is False
            assert all(tool["function"]["strict"] for tool in required["tools"])

    colour.run(body)


@pytest.mark.parametrize("way", ["tags", "action"])
def test_a_named_call_is_the_only_one_that_the_grammar_allows(colour: Colour, way: str) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: BERN, **SERVERS[way]) as server:
            async with colour.make(model_of(server)) as model:
                await act(model, choice="weather", parallel_tool_calls=False)
            sent = json.dumps(server.completions()[-1].body.get("structured_outputs") or server.completions()[-1].body)
            assert ("clock" in sent) is (way == "action")  # there, in the prompt
            grammar = (
                server.completions()[-1].body.get("response_format")
                or server.completions()[-1].body["structured_outputs"]
            )
            assert "clock" not in json.dumps(grammar)

    colour.run(body)


def test_the_conversation_is_shown_as_text_where_the_endpoint_takes_no_tools(colour: Colour) -> None:
    called = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    also = {"id": "b", "type": "function", "function": {"name": "clock", "arguments": '{"city": "Bern"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        *QUESTION,
        {"role": "assistant", "content": "I look.", "tool_calls": [called, also]},
        {"role": "tool", "tool_call_id": "a", "content": "12 degrees"},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
    ]

    async def body() -> None:
        with FakeVLLM("Rain.", parses_tools=False) as server:
            async with colour.make(model_of(server)) as model:
                await act(model, messages)
            sent = server.completions()[-1].body["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
        assert sent[0]["content"].startswith("Be brief.\n\n# Tools\n\nYou may call one or more functions")
        assert sent[2]["content"] == (
            'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "clock", "arguments": {"city": "Bern"}}\n</tool_call>'
        )
        assert sent[3]["content"] == (
            "<tool_response>\n12 degrees\n</tool_response>\n<tool_response>\nnoon\n</tool_response>"
        )

    colour.run(body)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", SERVERS)
@pytest.mark.parametrize("limit", range(1, 36))
def test_a_call_that_is_cut_off_is_no_text_and_no_complete_call(way: str, limit: int) -> None:
    answer = Answer(calls=[("weather", {"city": "a very long name of a city that has no end and no sense " * 3})])

    async def body() -> None:
        with FakeVLLM(lambda _: answer, **SERVERS[way]) as server:
            async with model_of(server) as model:
                completion, events = await act(model, max_tokens=limit)
        assert completion.finish_reason == "length"
        assert completion.text.strip() in ("", "<")
        assert "".join(event.text for event in events if isinstance(event, TextPiece)) == completion.text
        for call in completion.tool_calls:
            with pytest.raises(ValueError, match="."):
                json.loads(call.arguments)

    Colour("asyncio").run(body)


def test_the_same_call_twice_is_one_call(colour: Colour) -> None:
    twice = Answer(
        calls=[
            ToolCall(0, "call-1", "weather", '{"city": "Bern"}'),
            ToolCall(1, "call-1", "weather", '{"city": "Bern"}'),
        ]
    )

    async def body() -> None:
        with FakeVLLM(lambda _: twice) as server:
            async with colour.make(model_of(server)) as model:
                [call] = (await act(model))[0].tool_calls
        assert call.id == "call-1"

    colour.run(body)


def test_markup_that_a_parser_has_missed_is_a_call_and_markup_of_no_tool_is_text(colour: Colour) -> None:
    missed = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
    other = 'A call looks so: <tool_call>{"name": "example", "arguments": {}}</tool_call>.'

    async def body() -> None:
        with FakeVLLM(lambda request: missed if request["messages"] == QUESTION else other) as server:
            async with colour.make(model_of(server)) as model:
                completion, _ = await act(model)
                assert [call.name for call in completion.tool_calls] == ["weather"]
                completion, _ = await act(model, ask("How does a call look?"))
                assert (completion.text, completion.tool_calls) == (other, ())

    colour.run(body)


def test_an_unknown_endpoint_that_refuses_tools_is_asked_for_one_json_action(colour: Colour) -> None:
    def fault(request: Mapping[str, Any]) -> Fault | None:
        return (
            Fault.answer(b'{"error": {"message": "tools are not supported"}}', status=400)
            if "tools" in request
            else None
        )

    async def body() -> None:
        with FakeVLLM(lambda _: BERN, faults=fault, lookups={"/v1/models": Fault.html()}, dialect="openai") as server:
            async with colour.make(model_of(server)) as model:
                for _ in range(2):
                    assert (await act(model))[0].tool_calls[0].name == "weather"
            assert ["tools" in record.body for record in server.completions()] == [True, False, False]
            assert server.completions()[-1].body["response_format"]["type"] == "json_schema"

    colour.run(body)


def test_an_endpoint_that_ignores_the_choice_is_asked_in_another_way(colour: Colour) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        return Answer("I would rather not.") if "tools" in request else BERN

    async def body() -> None:
        with FakeVLLM(answer, lookups={"/v1/models": Fault.html()}, dialect="openai") as server:
            async with colour.make(model_of(server)) as model:
                completion, events = await act(model, choice="required")
        assert completion.tool_calls[0].name == "weather"
        [retried] = [event for event in events if isinstance(event, CallRetried)]
        assert retried.dropped == len("I would rather not.")

    colour.run(body)


def test_a_schema_that_the_grammar_refuses_is_sent_without_one_from_then_on(colour: Colour) -> None:
    refusal = b'{"error":{"message":"Grammar error: Unimplemented keys: [\\"uniqueItems\\"]","code":400}}'

    def fault(request: Mapping[str, Any]) -> Fault | None:
        strict = any("strict" in tool["function"] for tool in request["tools"])
        return Fault.answer(refusal, status=400) if strict else None

    async def body() -> None:
        with FakeVLLM(lambda _: BERN, faults=fault) as server:
            async with colour.make(model_of(server)) as model:
                for _ in range(2):
                    assert (await act(model))[0].tool_calls[0].name == "weather"
            assert len(server.completions()) == 3

    colour.run(body)


def test_other_refusals_are_errors(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(lambda _: BERN) as server:
            async with colour.make(model_of(server)) as model:
                with pytest.raises(ModelStatusError, match="temperature"):
                    await act(model, temperature=-1.0)
                with pytest.raises(
                    ConfigurationError, match="choice must be one of 'auto', 'required', 'none', 'weather'"
                ):
                    await act(model, choice="wether")
                with pytest.raises(ConfigurationError, match="at least one tool"):
                    await act(model, tools=[])
                with pytest.raises(ConfigurationError, match="n=2"):
                    await act(model, n=2)
            assert len(server.completions()) == 1

    colour.run(body)


def test_tools_are_part_of_what_has_to_fit(colour: Colour) -> None:
    long = tool_of("long", **{f"argument_{number}": {"type": "string"} for number in range(120)})

    async def body() -> None:
        for way in SERVERS:
            with FakeVLLM("Yes.", context_window=1500, **SERVERS[way]) as server:
                async with colour.make(model_of(server, context_window=1500)) as model:
                    with pytest.raises(ContextLengthError) as short:
                        await act(model, tools=[long])
                    assert short.value.status_code == 0
                    assert (await act(model, max_tokens=900))[0].text == "Yes."
                    with pytest.raises(ContextLengthError):
                        await act(model, ask("word " * 900), max_tokens=900, room=800)
                refused = [record for record in server.completions() if "messages" in record.body]
                assert len(refused) == (2 if way == "tags" else 1)

    colour.run(body)


def test_a_typed_answer_is_asked_for_together_with_the_tools(colour: Colour) -> None:
    output: Output[dict[str, int]] = Output(dict[str, int], name="counts")

    async def body() -> None:
        for way, field in (
            ("native", "response_format"),
            ("tags", "structured_outputs"),
            ("action", "response_format"),
        ):
            with FakeVLLM('{"a": 1}', **SERVERS[way]) as server:
                async with colour.make(model_of(server)) as model:
                    assert output.parse((await act(model, output=output))[0].text) == {"a": 1}
                    assert output.parse((await act(model, output=output, choice="none"))[0].text) == {"a": 1}
                both, alone = server.completions()[-2:]
                assert "integer" in json.dumps(both.body[field])
                grammar = "response_format" if way == "action" else "structured_outputs"
                assert "integer" in json.dumps(alone.body[grammar])

    colour.run(body)


def test_a_model_without_an_endpoint_gets_the_tools_as_options() -> None:
    model = ScriptedModel("Yes.")

    async def body() -> None:
        completion, _ = await act(model, choice="required")
        assert completion.text == "Yes."

    Colour("asyncio").run(body)
    assert model.calls[0][1] == {"tools": TOOLS, "tool_choice": "required"}
