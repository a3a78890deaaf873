"""Calls whose answers have a type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.conftest import Colour, ask
from tframex.completion import Completion, Delta
from tframex.errors import (
    ConfigurationError,
    ContextLengthError,
    ModelStatusError,
    ModelTimeoutError,
    OutputValidationError,
    StreamInterruptedError,
)
from tframex.events import CallResumed, CallRetried, CallStarted, Event, OutputPiece, RunFinished, TextPiece
from tframex.model import Output, VLLMModel, record_calls
from tframex.testing import Answer, FakeVLLM, Fault, ScriptedModel


class Film(BaseModel):
    title: str
    year: int = Field(description="of the first showing")


class Films(BaseModel):
    films: list[Film]
    note: str


ALIEN = '{"title": "Alien", "year": 1979}'
ASKED = ask("Name a film.")


def cut_in(size: int) -> Callable[[str], list[str]]:
    """Tokens of so many characters."""
    return lambda text: [text[start : start + size] for start in range(0, len(text), size)]


def model_of(server: FakeVLLM, **settings: Any) -> VLLMModel:
    return VLLMModel(server.model_name, server.url, "none", **settings)


def scripted(*answers: str | Answer) -> Callable[[Mapping[str, Any]], str | Answer]:
    """The answers in order; a request that continues one gets the same."""
    left = list(answers)

    def answer(body: Mapping[str, Any]) -> str | Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def refusal(message: str, status: int = 400) -> Fault:
    body = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
    return Fault.answer(json.dumps(body).encode(), status=status)


def bodies(server: FakeVLLM) -> list[dict[str, Any]]:
    return [record.body for record in server.completions()]


def said(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def test_a_call_with_a_type_returns_its_value(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN) as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Film, temperature=0.0)
                assert completion.output == Film(title="Alien", year=1979)
                assert completion.text == ALIEN
                assert completion.finish_reason == "stop"
                assert (await model.call(ASKED)).output is None
            first, plain = bodies(server)
            assert first["response_format"] == {
                "type": "json_schema",
                "json_schema": {"name": "Film", "schema": Output(Film).schema, "strict": True},
            }
            assert first["temperature"] == 0.0
            assert "output_type" not in first
            assert said(first) == f"Name a film.\n\n{Output(Film).instructions()}"
            assert "response_format" not in plain
            assert said(plain) == "Name a film."

    colour.run(body)


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "openai"])
def test_a_server_that_shows_the_schema_to_the_model_needs_no_instructions(dialect: Any) -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN, dialect=dialect) as server:
            async with model_of(server) as model:
                for _ in range(2):
                    await model.call(ASKED, output_type=Film)
                await model.call(ASKED, output_type=Output(Film, describe=True))
                await model.call(ASKED, output_type=Output(Film, describe=False))
            shown = ["JSON schema" in said(body) for body in bodies(server)]
            assert shown == [dialect != "openai", dialect != "openai", True, False]

    Colour("asyncio").run(body)


def test_a_value_that_is_no_object_is_asked_for_inside_of_one() -> None:
    async def body() -> None:
        with FakeVLLM('{"value": "no"}') as server:
            async with model_of(server) as model:
                completion = await model.call(ASKED, output_type=Literal["yes", "no"])
                assert completion.output == "no"
            schema = bodies(server)[0]["response_format"]["json_schema"]["schema"]
            assert schema["required"] == ["value"]

    Colour("asyncio").run(body)


def test_an_answer_that_is_not_of_the_type_is_asked_for_again_with_what_is_wrong(colour: Colour) -> None:
    async def body() -> None:
        wrong = '{"title": "Alien", "year": "late"}'
        with FakeVLLM(scripted("Alien, of course.", wrong, ALIEN)) as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Film)
            assert completion.output == Film(title="Alien", year=1979)
            assert completion.retries == 2
            first, second, third = bodies(server)
            assert len(third["messages"]) == 3
            assert second["messages"][0] == ASKED[0]
            assert second["messages"][1] == {"role": "assistant", "content": "Alien, of course."}
            assert "- it is not one JSON value" in said(second)
            assert "JSON schema" in said(second)
            assert third["messages"][1]["content"] == wrong
            assert "- year: Input should be a valid integer" in said(third)
            prompts = sum(len(json.dumps(one["messages"])) for one in (first, second, third))
            assert completion.usage is not None
            assert 0 < completion.usage.prompt_tokens < prompts
            assert completion.usage.completion_tokens == server.tokens
            assert not completion.usage.estimated

    colour.run(body)


def test_too_many_answers_of_another_type_are_an_error_with_the_last_text(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM("No JSON here.") as server:
            async with colour.make(model_of(server)) as model:
                for retries, answers in ((2, 3), (0, 1)):
                    with pytest.raises(OutputValidationError, match=rf"answer {answers} of {answers}") as caught:
                        await model.call(ASKED, output_type=Film, max_output_retries=retries)
                    assert caught.value.text == caught.value.partial == "No JSON here."
                    assert caught.value.errors[0].startswith("it is not one JSON value")
                    assert caught.value.model_id == "fake"
            assert len(bodies(server)) == 4

    colour.run(body)


def test_the_calls_of_a_typed_call_are_recorded_as_one() -> None:
    async def body() -> None:
        with FakeVLLM(scripted("nothing", ALIEN)) as server:
            async with model_of(server) as model:
                with record_calls() as calls:
                    completion = await model.call(ASKED, output_type=Film)
                assert calls.completions == (completion,)
                assert calls.usage == completion.usage

    Colour("asyncio").run(body)


@pytest.mark.parametrize(
    ("model_settings", "options", "limit"),
    [
        ({}, {"max_tokens": 5}, "max_tokens=5 of the call: raise it"),
        ({}, {"max_completion_tokens": 5}, "max_completion_tokens=5 of the call: raise it"),
        ({"default_max_tokens": 5}, {}, "default_max_tokens=5 of the model: raise it"),
        ({"context_window": 220}, {}, "all that the prompt left of the context window"),
        ({"default_max_tokens": None}, {}, "the endpoint's own limit"),
    ],
)
def test_an_answer_that_was_cut_off_says_at_which_limit(
    model_settings: dict[str, Any], options: dict[str, Any], limit: str
) -> None:
    """Asking again would end there too."""

    async def body() -> None:
        endless = '{"title": "' + "word " * 9000
        with FakeVLLM(endless, tokenize=cut_in(8), context_window=2000) as server:
            async with model_of(server, **model_settings) as model:
                with pytest.raises(OutputValidationError, match=limit) as caught:
                    await model.call(ASKED, output_type=Output(Film, describe=False), **options)
                assert caught.value.text
            assert len(bodies(server)) == 1

    Colour("asyncio").run(body)


def test_an_answer_that_was_cut_off_is_none_even_where_it_is_complete() -> None:
    async def body() -> None:
        with FakeVLLM(f"{ALIEN} It is a film.", tokenize=cut_in(len(ALIEN))) as server:
            async with model_of(server) as model:
                with pytest.raises(OutputValidationError, match="max_tokens=1") as caught:
                    await model.call(ASKED, output_type=Film, max_tokens=1)
                assert caught.value.text == ALIEN
            assert len(bodies(server)) == 1

    Colour("asyncio").run(body)


def test_white_space_without_end_is_stopped_and_asked_again(colour: Colour) -> None:
    async def body() -> None:
        endless = '{"title": "Alien",' + "\n \t" * 12_000
        with FakeVLLM(scripted(endless, ALIEN), tokenize=cut_in(3), delay=0.0005, context_window=20_000) as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Film, max_tokens=15_000)
            assert completion.output == Film(title="Alien", year=1979)
            first, second = server.completions()
            assert first.tokens < 12_000
            assert second.body["messages"][1] == {"role": "assistant", "content": '{"title": "Alien",'}
            assert "- it ran on in white space or digits instead of ending" in said(second.body)
            assert completion.usage is not None
            assert completion.usage.estimated
            assert completion.usage.completion_tokens > 70

    colour.run(body)


def test_a_number_without_end_is_stopped_and_asked_again() -> None:
    async def body() -> None:
        with FakeVLLM(scripted('{"title": "Alien", "year": 1' + "0" * 9000, ALIEN), delay=0.0005) as server:
            async with model_of(server) as model:
                completion = await model.call(ASKED, output_type=Film, max_tokens=5000)
            assert completion.output == Film(title="Alien", year=1979)
            assert server.completions()[0].tokens < 5000

    Colour("asyncio").run(body)


def test_white_space_or_words_after_a_complete_value_are_left_unread(colour: Colour) -> None:
    async def body() -> None:
        for rest in ("\n" * 9000, " As you can see, it is Alien." * 300):
            with FakeVLLM(ALIEN + rest, delay=0.0005) as server:
                async with colour.make(model_of(server)) as model:
                    completion = await model.call(ASKED, output_type=Film, max_tokens=5000)
                assert completion.output == Film(title="Alien", year=1979)
                assert len(bodies(server)) == 1
                assert completion.finish_reason is None

    colour.run(body)


@pytest.mark.parametrize("reasoning", ["inline", "separate", "drop"])
def test_a_thought_before_the_value_is_no_part_of_it(reasoning: Any) -> None:
    async def body() -> None:
        with FakeVLLM(Answer(f"\n\n{ALIEN}", reasoning="{A film}? [x]")) as server:
            async with model_of(server, reasoning=reasoning) as model:
                completion = await model.call(ASKED, output_type=Film)
                assert completion.output == Film(title="Alien", year=1979)
                assert completion.reasoning == ("{A film}? [x]" if reasoning == "separate" else "")
                pieces = [
                    event async for event in model.events(ASKED, output_type=Film) if isinstance(event, OutputPiece)
                ]
                assert pieces[-1].value == {"title": "Alien", "year": 1979}

    Colour("asyncio").run(body)


# -- what an endpoint takes ------------------------------------------------------------------------------------------


def test_a_form_that_is_refused_is_not_asked_for_again(colour: Colour) -> None:
    async def body() -> None:
        refused = [refusal("response_format.type json_schema is unavailable now"), None]
        with FakeVLLM(ALIEN, faults=refused, dialect="openai") as server:
            async with colour.make(model_of(server)) as model:
                for _ in range(2):
                    completion = await model.call(ASKED, output_type=Film)
                    assert completion.output == Film(title="Alien", year=1979)
                    assert completion.retries == 0
            formats = [body.get("response_format", {}).get("type") for body in bodies(server)]
            assert formats == ["json_schema", "json_object", "json_object"]
            assert all("JSON schema" in said(body) for body in bodies(server)[1:])

    colour.run(body)


def test_an_endpoint_without_any_grammar_gets_the_schema_in_the_prompt() -> None:
    async def body() -> None:
        def faults(body: Mapping[str, Any]) -> Fault | None:
            return (
                refusal("Unrecognized request argument supplied: response_format")
                if "response_format" in body
                else None
            )

        with FakeVLLM(f"Here it is:\n```json\n{ALIEN}\n```", faults=faults, dialect="openai") as server:
            async with model_of(server) as model:
                for _ in range(2):
                    completion = await model.call(ASKED, output_type=Film)
                    assert completion.output == Film(title="Alien", year=1979)
            assert len(bodies(server)) == 4
            assert "response_format" not in bodies(server)[-1]

    Colour("asyncio").run(body)


def test_a_vllm_is_asked_in_its_own_way_next() -> None:
    async def body() -> None:
        faults = [None, refusal("Bad request"), None, None]
        with FakeVLLM(ALIEN, faults=faults) as server:
            async with model_of(server) as model:
                await model.call(ASKED)
                for _ in range(2):
                    await model.call(ASKED, output_type=Film)
            assert [sorted({"response_format", "structured_outputs"} & body.keys()) for body in bodies(server)] == [
                [],
                ["response_format"],
                ["structured_outputs"],
                ["structured_outputs"],
            ]
            assert bodies(server)[2]["structured_outputs"] == {"json": Output(Film).schema}

    Colour("asyncio").run(body)


def test_a_schema_that_is_refused_costs_other_schemas_nothing() -> None:
    async def body() -> None:
        faults = [None, refusal("Grammar error: too complex"), None, None, None]
        with FakeVLLM('{"value": 7}', faults=faults) as server:
            async with model_of(server) as model:
                await model.call(ASKED)
                await model.call(ASKED, output_type=list[int] | int)
                await model.call(ASKED, output_type=int)
                await model.call(ASKED, output_type=list[int] | int)
            assert ["response_format" in body for body in bodies(server)] == [False, True, False, True, False]

    Colour("asyncio").run(body)


def test_keywords_that_a_refusal_names_are_left_out_from_then_on() -> None:
    class Code(BaseModel):
        text: str = Field(pattern="^[A-Z]+$", max_length=3)

    async def body() -> None:
        faults = [
            refusal('Grammar error: Unimplemented keys: ["pattern"]'),
            refusal("'maxLength' is not permitted"),
            None,
        ]
        with FakeVLLM('{"text": "ABC"}', faults=faults) as server:
            async with model_of(server) as model:
                for _ in range(2):
                    completion = await model.call(ASKED, output_type=Code)
                    assert completion.output == Code(text="ABC")
            sent = [
                body["response_format"]["json_schema"]["schema"]["properties"]["text"].keys() for body in bodies(server)
            ]
            assert sent == [{"type", "pattern", "maxLength"}, {"type", "maxLength"}, {"type"}, {"type"}]

    Colour("asyncio").run(body)


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_is_wrong_in_another_way_is_the_server_s_error_and_teaches_nothing(status: int) -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN, faults=[refusal("temperature must be non-negative", status)] * 3) as server:
            async with model_of(server) as model:
                with pytest.raises(ModelStatusError, match="temperature must be"):
                    await model.call(ASKED, output_type=Film)
                await model.call(ASKED, output_type=Film)
            assert "response_format" in bodies(server)[-1]

    Colour("asyncio").run(body)


def test_an_overfull_window_is_no_refusal_of_the_form() -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN, context_window=64) as server:
            async with model_of(server) as model:
                with pytest.raises(ContextLengthError):
                    await model.call(ask("word " * 3000), output_type=Film)
            assert not bodies(server), "it is counted before it is sent, instructions included"

    Colour("asyncio").run(body)


def test_a_model_without_an_endpoint_is_asked_in_the_prompt(colour: Colour) -> None:
    async def body() -> None:
        own = ScriptedModel(["Hm.", f"```\n{ALIEN}\n```"])
        model = colour.make(own)
        completion = await model.call(ASKED, output_type=Film)
        assert completion.output == Film(title="Alien", year=1979)
        assert [options for _, options in own.calls] == [{}, {}]
        assert "JSON schema" in own.calls[0][0][-1]["content"]

    colour.run(body)


# -- breaks ----------------------------------------------------------------------------------------------------------


LONG = json.dumps({"films": [{"title": f"Film {number}", "year": 1900 + number} for number in range(40)], "note": "é"})


@pytest.mark.parametrize("at", [1500, 3000, 6000])
@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
@pytest.mark.usefixtures("no_wait")
def test_an_answer_that_breaks_off_is_continued_without_the_grammar(colour: Colour, dialect: Any, at: int) -> None:
    async def body() -> None:
        with FakeVLLM(LONG, faults=[Fault.cut(at)], dialect=dialect) as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Films, max_tokens=4000)
            assert completion.text == LONG
            assert completion.output == Films.model_validate_json(LONG)
            assert (completion.resumes, completion.retries) == (1, 0)
            first, second = bodies(server)
            assert "response_format" in first
            assert "response_format" not in second
            assert "structured_outputs" not in second

    colour.run(body)


@pytest.mark.parametrize("rest", [" and so on, in prose." * 400, ' {"title": ' * 400, "\n" * 4000])
@pytest.mark.usefixtures("no_wait")
def test_a_continuation_that_is_of_no_use_is_asked_for_again_with_the_grammar(colour: Colour, rest: str) -> None:
    """Also with `max_output_retries=0`: it is not the model that failed."""

    async def body() -> None:
        def answer(body: Mapping[str, Any]) -> str:
            return LONG if "response_format" in body else LONG[:500] + rest

        with FakeVLLM(answer, faults=[Fault.cut(3000)], dialect="llama.cpp", delay=0.0005) as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Films, max_tokens=3000, max_output_retries=0)
            assert completion.output == Films.model_validate_json(LONG)
            assert (completion.resumes, completion.retries) == (1, 1)
            first, second, third = bodies(server)
            assert "response_format" not in second
            assert third == first
            assert server.completions()[1].tokens < 3000

    colour.run(body)


@pytest.mark.usefixtures("no_wait")
def test_where_an_answer_cannot_be_continued_it_is_asked_for_again(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(LONG, faults=[Fault.cut(3000)], dialect="openai") as server:
            async with colour.make(model_of(server)) as model:
                completion = await model.call(ASKED, output_type=Films, max_tokens=4000)
            assert completion.output == Films.model_validate_json(LONG)
            assert (completion.resumes, completion.retries) == (0, 1)
            assert [("response_format" in body) for body in bodies(server)] == [True, True]

    colour.run(body)


@pytest.mark.usefixtures("no_wait")
def test_a_grammar_of_the_user_is_still_never_spliced() -> None:
    async def body() -> None:
        format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        with FakeVLLM(LONG, faults=[Fault.cut(3000)] * 2) as server:
            async with model_of(server) as model:
                completion = await model.call(ASKED, response_format=format_, max_tokens=4000)
                assert (completion.resumes, completion.retries) == (0, 2)
                with pytest.raises(StreamInterruptedError):
                    server.faults = [Fault.cut(3000)]
                    async for _ in model.stream(ASKED, response_format=format_, max_tokens=4000):
                        pass

    Colour("asyncio").run(body)


# -- streams and events ----------------------------------------------------------------------------------------------


def test_the_events_of_a_typed_call_have_its_growing_value(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(scripted("Nothing.", LONG)) as server:
            async with colour.make(model_of(server)) as model:
                events: list[Event] = [event async for event in model.events(ASKED, output_type=Films, max_tokens=4000)]
        assert isinstance(events[0], CallStarted)
        assert sum(isinstance(event, CallStarted) for event in events) == 1
        (retried,) = [event for event in events if isinstance(event, CallRetried)]
        assert isinstance(retried.error, OutputValidationError)
        assert retried.dropped == len("Nothing.")
        after = events[events.index(retried) :]
        assert "".join(event.text for event in after if isinstance(event, TextPiece)) == LONG
        values = [event.value for event in events if isinstance(event, OutputPiece)]
        assert values[-1]["films"] == Films.model_validate_json(LONG).films
        assert [len(value.get("films", ())) for value in values] == sorted(
            len(value.get("films", ())) for value in values
        )
        assert isinstance(events[-1], RunFinished)
        assert events[-1].result.output == Films.model_validate_json(LONG)

    colour.run(body)


def test_events_that_are_not_shown_have_no_growing_value() -> None:
    async def body() -> None:
        with FakeVLLM(LONG) as server:
            async with model_of(server) as model:
                events = [
                    event async for event in model.events(ASKED, output_type=Films, restart=True, max_tokens=4000)
                ]
        assert not [event for event in events if isinstance(event, OutputPiece)]
        assert isinstance(events[-1], RunFinished)

    Colour("asyncio").run(body)


def test_an_item_of_another_type_ends_the_answer_as_soon_as_it_is_complete() -> None:
    async def body() -> None:
        wrong = LONG.replace("1901", '"soon"')
        with FakeVLLM(scripted(wrong, LONG), delay=0.001) as server:
            async with model_of(server) as model:
                events = [event async for event in model.events(ASKED, output_type=Films, max_tokens=4000)]
            (retried,) = [event for event in events if isinstance(event, CallRetried)]
            assert isinstance(retried.error, OutputValidationError)
            assert retried.error.errors[0].startswith("films: year: Input should be a valid integer")
            first, second = server.completions()
            assert first.tokens < second.tokens
            assert isinstance(events[-1], RunFinished)
            assert events[-1].result.output == Films.model_validate_json(LONG)

    Colour("asyncio").run(body)


def test_a_stream_of_deltas_ends_with_the_value_and_is_not_asked_for_again(colour: Colour) -> None:
    async def body() -> None:
        with FakeVLLM(scripted(ALIEN, "Nothing.")) as server:
            async with colour.make(model_of(server)) as model:
                pieces = [piece async for piece in model.stream(ASKED, output_type=Film)]
                assert "".join(piece.content for piece in pieces if isinstance(piece, Delta)) == ALIEN
                assert isinstance(pieces[-1], Completion)
                assert pieces[-1].output == Film(title="Alien", year=1979)
                with pytest.raises(OutputValidationError, match="answer 1 of 1"):
                    async for _ in model.stream(ASKED, output_type=Film):
                        pass

    colour.run(body)


@pytest.mark.usefixtures("no_wait")
def test_resuming_is_reported_in_the_events_of_a_typed_call() -> None:
    async def body() -> None:
        with FakeVLLM(LONG, faults=[Fault.cut(3000)]) as server:
            async with model_of(server) as model:
                events = [event async for event in model.events(ASKED, output_type=Films, max_tokens=4000)]
        assert len([event for event in events if isinstance(event, CallResumed)]) == 1
        assert "".join(event.text for event in events if isinstance(event, TextPiece)) == LONG

    Colour("asyncio").run(body)


# -- what is refused, and limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format and output_type both"),
        ({"extra_body": {"structured_outputs": {"regex": "a"}}}, "structured_outputs and output_type both"),
        ({"n": 2}, "not with n=2"),
        ({"max_output_retries": -1}, "max_output_retries"),
        ({"continue_final_message": True}, "continue_final_message and output_type both"),
    ],
)
def test_options_that_contradict_a_type_are_refused(options: dict[str, Any], complaint: str) -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN) as server:
            async with model_of(server) as model:
                with pytest.raises(ConfigurationError, match=complaint):
                    await model.call(ASKED, output_type=Film, **options)
            assert not server.requests

    Colour("asyncio").run(body)


def test_a_stream_of_text_has_no_type() -> None:
    async def body() -> None:
        with FakeVLLM(ALIEN) as server:
            async with model_of(server) as model:
                with pytest.raises(ConfigurationError, match="output_type"):
                    async for _ in model.call_stream(ASKED, output_type=Film):
                        pass

    Colour("asyncio").run(body)


def test_the_total_time_is_that_of_all_answers_together() -> None:
    async def body() -> None:
        with FakeVLLM("No JSON in these words.", delay=0.05) as server:
            async with model_of(server, total_timeout=0.6) as model:
                with pytest.raises(ModelTimeoutError, match=r"0\.6"):
                    await model.call(ASKED, output_type=Film, max_output_retries=100)
            assert len(bodies(server)) < 10

    Colour("asyncio").run(body)


def test_a_refusal_is_an_error_that_says_so() -> None:
    async def body() -> None:
        chunk = (
            b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
        )
        said = b'{"role":"assistant","refusal":"I cannot."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        with FakeVLLM(faults=[Fault.answer(chunk + said, content_type="text/event-stream")]) as server:
            async with model_of(server) as model:
                with pytest.raises(OutputValidationError, match="the model refused to answer") as caught:
                    await model.call(ASKED, output_type=Film)
                assert caught.value.text == "I cannot."
            assert len(bodies(server)) == 1

    Colour("asyncio").run(body)
