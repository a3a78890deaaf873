"""`VLLMModel` against the fake endpoint, in every colour."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.conftest import USER, Colour, ask
from tframex.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextLengthError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ResponseFormatError,
)
from tframex.model import Completion, Delta, ModelEntry, VLLMModel
from tframex.sync import _bridge
from tframex.testing import Answer, FakeVLLM, Fault

TEXT = "1. Red: “naïve” 静か. \U0001f469\U0001f3fd‍\U0001f680\n\nTwo  spaces\tand an end."


def model_of(server: FakeVLLM, colour: Colour, **settings: Any) -> Any:
    return colour.make(VLLMModel(server.model_name, server.url, "sk-ours", **settings))


def test_call_returns_the_whole_answer_and_how_it_came_about(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            completion = await model.call(USER)
        assert (completion.text, str(completion), completion.finish_reason) == (TEXT, TEXT, "stop")
        assert completion.evidence == ("finish_reason", "usage", "[DONE]")
        assert completion.usage.completion_tokens == server.tokens
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + server.tokens
        assert 0 < completion.timings.first_token <= completion.timings.total
        assert (completion.retries, completion.resumes, completion.model_id) == (0, 0, "fake")

    with FakeVLLM(TEXT) as server:
        colour.run(body)


def test_call_stream_yields_the_text_piece_by_piece(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            pieces = [piece async for piece in model.call_stream(USER)]
        assert "".join(pieces) == TEXT
        assert len(pieces) > 10
        assert all(pieces)

    with FakeVLLM(TEXT) as server:
        colour.run(body)


def test_stream_yields_deltas_and_then_the_completion(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            *deltas, completion = [event async for event in model.stream(USER)]
        assert all(isinstance(delta, Delta) for delta in deltas)
        assert isinstance(completion, Completion)
        assert "".join(delta.content for delta in deltas) == completion.text == TEXT

    with FakeVLLM(TEXT) as server:
        colour.run(body)


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "openai"])
def test_every_server_s_dialect_is_understood(dialect: Any) -> None:
    with FakeVLLM(TEXT, dialect=dialect) as server:
        completion = Colour("sync").run(lambda: model_of(server, Colour("sync")).call(USER, max_tokens=5))
    assert TEXT.startswith(completion.text)
    assert (completion.finish_reason, completion.usage.completion_tokens) == ("length", 5)


THOUGHT = Answer("\n\nBlue.", "I wonder.")


@pytest.mark.parametrize(
    ("mode", "text", "reasoning"),
    [
        ("inline", "<think>I wonder.</think>\n\nBlue.", ""),
        ("separate", "\n\nBlue.", "I wonder."),
        ("drop", "\n\nBlue.", ""),
    ],
)
def test_separate_reasoning_goes_where_the_user_wants_it(colour: Colour, mode: str, text: str, reasoning: str) -> None:
    async def body() -> None:
        async with model_of(server, colour, reasoning=mode) as model:
            completion = await model.call(USER)
            assert (completion.text, completion.reasoning) == (text, reasoning)
            assert "".join([piece async for piece in model.call_stream(USER)]) == text
            assert (await model.call(USER, reasoning="separate")).reasoning == "I wonder."

    with FakeVLLM(THOUGHT) as server:
        colour.run(body)


def test_reasoning_that_the_limit_cut_off_stays_open() -> None:
    with FakeVLLM(THOUGHT) as server:
        completion = Colour("sync").run(lambda: model_of(server, Colour("sync")).call(USER, max_tokens=2))
    assert completion.text == "<think>I"


def test_think_tags_inside_the_answer_stay_as_they_came() -> None:
    with FakeVLLM("<think>hm</think>\n\nBlue.") as server:
        completion = Colour("sync").run(lambda: model_of(server, Colour("sync"), reasoning="drop").call(USER))
    assert completion.text == "<think>hm</think>\n\nBlue."


def test_options_go_to_the_endpoint_as_they_are(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour, default_max_tokens=99, default_temperature=0.3) as model:
            await model.call(
                USER,
                top_p=0.5,
                top_k=7,
                min_p=0.1,
                repetition_penalty=1.1,
                structured_outputs={"choice": ["a", "b"]},
                extra_body={"priority": 5},
                extra_headers={"x-trace": "1"},
                stop=None,
            )
            await model.call(USER, max_completion_tokens=5, temperature=0, stream_options={"include_usage": False})

    with FakeVLLM() as server:
        colour.run(body)
    first, second = server.requests
    expected = {
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "structured_outputs": {"choice": ["a", "b"]},
        "priority": 5,
        "max_tokens": 99,
        "temperature": 0.3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "model": "fake",
        "messages": USER,
    }
    assert first.body == expected
    assert first.headers["x-trace"] == "1"
    assert first.headers["authorization"] == "Bearer sk-ours"
    assert "max_tokens" not in second.body
    assert (second.body["max_completion_tokens"], second.body["temperature"]) == (5, 0)
    assert second.body["stream_options"] == {"include_usage": False}


def test_settings_without_a_default_are_left_to_the_endpoint() -> None:
    with FakeVLLM() as server:
        settings: dict[str, Any] = {"default_max_tokens": None, "default_temperature": None}
        Colour("sync").run(lambda: model_of(server, Colour("sync"), **settings).call(USER))
    assert not {"max_tokens", "temperature"} & set(server.requests[0].body)


def test_several_choices_come_apart(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            completion = await model.call(USER, n=3)
            assert [choice.text for choice in completion.choices] == [TEXT] * 3
            indices = {event.index async for event in model.stream(USER, n=2) if isinstance(event, Delta)}
            assert indices == {0, 1}
            with pytest.raises(ConfigurationError, match="call_stream returns one text"):
                [piece async for piece in model.call_stream(USER, n=2)]

    with FakeVLLM(TEXT) as server:
        colour.run(body)


@pytest.mark.parametrize("options", [{"stream": False}, {"n": 0}, {"idle_timeout": -1}, {"reasoning": "x"}])
def test_a_wrong_option_is_refused_before_anything_is_sent(colour: Colour, options: dict[str, Any]) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            with pytest.raises(ConfigurationError):
                await model.call(USER, **options)

    with FakeVLLM() as server:
        colour.run(body)
        assert server.requests == []


def json_error(status: int, body: bytes) -> Fault:
    return Fault.answer(body, status=status)


OVERFLOW_VLLM = (
    b'{"error":{"message":"This model\'s maximum context length is 2048 tokens. However, your prompt contains at least '
    b"2049 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
    b'prompt. (parameter=input_tokens, value=2049)","type":"BadRequestError","param":"input_tokens","code":400}}'
)
OVERFLOW_MAX_TOKENS = (
    b'{"error":{"message":"max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer output '
    b'tokens. (parameter=max_tokens, value=100000)","type":"BadRequestError","param":"max_tokens","code":400}}'
)
OVERFLOW_LLAMA = (
    b'{"error":{"code":400,"message":"request (30031 tokens) exceeds the available context size (8192 tokens), try '
    b'increasing it","type":"exceed_context_size_error","n_prompt_tokens":30031,"n_ctx":8192}}'
)
WRONG_MODEL = (
    b'{"error":{"message":"The model `nope` does not exist. Valid aliases: smol.","type":"NotFoundError","param":"model",'
    b'"code":404}}'
)
BAD_TEMPERATURE = (
    b'{"error":{"message":"temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)","type":'
    b'"BadRequestError","param":"temperature","code":400}}'
)


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    ("fault", "kind", "words", "tries"),
    [
        (json_error(401, b'{"error":"Unauthorized"}'), AuthenticationError, "401: Unauthorized.*API_KEY", 1),
        (json_error(403, b"{}"), AuthenticationError, "403", 1),
        (json_error(404, WRONG_MODEL), ModelNotFoundError, "`nope` does not exist.*MODEL_NAME.*/v1/models", 1),
        (json_error(404, b'{"detail":"Not Found"}'), ModelNotFoundError, "Not Found.*API_URL ends in /v1", 1),
        (json_error(400, OVERFLOW_VLLM), ContextLengthError, "2048 tokens.*ChainOfAgents", 1),
        (json_error(400, OVERFLOW_MAX_TOKENS), ContextLengthError, "max_tokens=100000", 1),
        (json_error(400, OVERFLOW_LLAMA), ContextLengthError, "30031 tokens", 1),
        (json_error(400, BAD_TEMPERATURE), ModelStatusError, "temperature must be non-negative.*Check the options", 1),
        (Fault.busy(503), ModelStatusError, "503.*overloaded", 3),
        (Fault.busy(429, retry_after="0"), ModelStatusError, "429.*max_concurrency", 3),
        (Fault.busy(500), ModelStatusError, "500", 3),
        (Fault.error(), ModelStatusError, "EngineCore", 3),
        (Fault.refuse(), ModelConnectionError, "no connection to http://127.0.0.1", 3),
        (Fault.cut(0), ModelConnectionError, "ended in the middle", 3),
        (Fault.end(0), ModelConnectionError, "ended without a finish_reason", 3),
        (Fault.end(30), ModelConnectionError, "ended without a finish_reason", 3),
        (Fault.html(), ResponseFormatError, "<!DOCTYPE html>.*API_URL", 1),
        (Fault.answer(b'{"hello": 1}'), ResponseFormatError, "hello", 1),
        (Fault.answer(b'{"error":{"message":"bad","code":400}}'), ModelStatusError, "400: bad", 1),
        (Fault.garbage(1), ResponseFormatError, "not a Chat Completions stream", 1),
        (Fault.answer(b"hello\n\n", content_type="text/event-stream"), ResponseFormatError, "hello", 1),
    ],
)
def test_a_failure_before_the_first_token_says_what_it_was(
    colour: Colour, fault: Fault, kind: type[ModelError], words: str, tries: int
) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            with pytest.raises(kind, match=f"(?s){words}") as caught:
                await model.call(USER)
        assert caught.value.model_id == "fake"
        assert "sk-ours" not in str(caught.value)

    with FakeVLLM(faults=[fault] * 3) as server:
        colour.run(body)
        assert len(server.completions()) == tries


@pytest.mark.usefixtures("no_wait")
def test_a_transient_failure_is_survived_and_counted(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            completion = await model.call(USER)
        assert (completion.text, completion.retries) == (TEXT, 2)

    with FakeVLLM(TEXT, faults=[Fault.busy(503), Fault.refuse()]) as server:
        colour.run(body)


def test_nothing_is_sent_again_with_max_retries_0(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            with pytest.raises(ModelStatusError):
                await model.call(USER, max_retries=0)

    with FakeVLLM(faults=[Fault.busy(503)]) as server:
        colour.run(body)
        assert len(server.requests) == 1


def test_the_error_of_the_official_client_stays_on_the_chain(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            with pytest.raises(AuthenticationError) as caught:
                await model.call(USER)
        assert isinstance(caught.value.__cause__, openai.AuthenticationError)
        assert (caught.value.status_code, caught.value.body) == (401, "Unauthorized")

    with FakeVLLM(api_key="right") as server:
        colour.run(body)


def test_a_key_that_the_server_echoes_does_not_reach_the_error() -> None:
    secret = "sk-very-secret"
    body = b'{"error":{"message":"Incorrect API key provided: sk-very-secret","code":401}}'
    with FakeVLLM(faults=[Fault.answer(body, status=401)]) as server:
        model = Colour("sync").make(VLLMModel("fake", server.url, secret))
        with pytest.raises(AuthenticationError) as caught:
            Colour("sync").run(lambda: model.call(USER))
    for error in (caught.value, caught.value.__cause__):
        assert error is not None
        assert secret not in f"{error!r} {error} {getattr(error, 'body', '')}"


def test_a_wrong_port_says_that_nobody_listens(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("m", url, "k", max_retries=0)) as model:
            with pytest.raises(ModelConnectionError, match="no connection to http://127.0.0.1.*Check API_URL"):
                await model.call(USER)

    with FakeVLLM() as server:
        url = server.url
    colour.run(body)


def test_retries_are_logged_without_secrets_and_nothing_is_printed(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], no_wait: None
) -> None:
    caplog.set_level(logging.INFO, logger="tframex")
    with FakeVLLM(faults=[Fault.busy(503)]) as server:
        Colour("sync").run(lambda: Colour("sync").make(VLLMModel("fake", server.url, "sk-secret")).call(USER))
    assert "sending again" in caplog.text
    assert "sk-secret" not in caplog.text
    assert capsys.readouterr() == ("", "")


def test_max_concurrency_bounds_the_calls_in_flight() -> None:
    import anyio

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k", max_concurrency=3) as model, anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(model.call, USER)

    with FakeVLLM(delay=0.002) as server:
        anyio.run(body)
        assert server.peak_connections == 3
        assert len(server.requests) == 12


@pytest.mark.parametrize("kind", [openai.AsyncOpenAI, openai.OpenAI])
def test_an_official_client_of_either_colour_is_accepted(colour: Colour, kind: Callable[..., Any]) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel.from_client(client, "fake", default_max_tokens=4)) as model:
            assert (await model.call(USER)).finish_reason == "length"
        assert server.requests[0].headers["x-mine"] == "1"
        assert server.requests[0].headers["authorization"] == "Bearer mine"
        if isinstance(client, openai.AsyncOpenAI) and colour.name != "sync":
            await client.close()

    with FakeVLLM() as server:
        client = kind(base_url=server.url, api_key="mine", default_headers={"x-mine": "1"})
        colour.run(body)
        if isinstance(client, openai.OpenAI):
            client.close()
        elif colour.name == "sync":
            _bridge.run(client.close)  # where its connections are


def test_a_client_that_is_none_or_cannot_be_translated_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not str"):
        VLLMModel.from_client("http://h", "m")  # type: ignore[arg-type] # refused
    with pytest.raises(ConfigurationError, match="has its own transport"):
        VLLMModel.from_client(openai.OpenAI(api_key="k", http_client=openai.DefaultHttpxClient()), "m")


def test_messages_may_be_long_and_hold_anything(colour: Colour) -> None:
    async def body() -> None:
        text = "<|endoftext|> \x00 \ud83d" + "é" * 10_000
        async with model_of(server, colour) as model:
            await model.call(ask(text.replace("\ud83d", "")))
        assert server.requests[0].body["messages"][0]["content"] == text.replace("\ud83d", "")

    with FakeVLLM(context_window=50_000) as server:
        colour.run(body)


def test_options_may_be_left_out_with_the_official_marks_and_given_as_iterators(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            await model.call(USER, stop=(word for word in ("never", "ever")), seed=openai.omit, top_p=openai.not_given)

    with FakeVLLM() as server:
        colour.run(body)
        sent = server.completions()[0].body
        assert sent["stop"] == ["never", "ever"]
        assert not {"seed", "top_p"} & set(sent)


def test_what_cannot_be_written_as_json_is_refused(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            with pytest.raises(ConfigurationError, match="written as JSON.*set"):
                await model.call(USER, logit_bias={1, 2})

    with FakeVLLM() as server:
        colour.run(body)
        assert server.completions() == []


def test_a_model_says_which_models_its_endpoint_lists(colour: Colour) -> None:
    async def body() -> None:
        async with model_of(server, colour) as model:
            assert await model.models() == [ModelEntry(owner="vllm", window=8192, name="fake")]
        async with colour.make(VLLMModel("another name", server.url, "sk-ours")) as model:
            assert [entry.name for entry in await model.models()] == ["fake"]

    with FakeVLLM(TEXT) as server:
        colour.run(body)


def test_an_endpoint_that_does_not_list_its_models_is_an_error(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, key)) as model:
            with pytest.raises(AuthenticationError) as caught:
                await model.models()
        assert key not in str(caught.value)

    key = "sk-ours-0123456789"
    refusal = Fault.answer(f"not {key}".encode(), status=401)
    with FakeVLLM(TEXT, lookups={"/v1/models": refusal}) as server:
        colour.run(body)
