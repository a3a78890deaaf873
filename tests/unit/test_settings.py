"""What is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.conftest import USER, Colour
from tframex import sync
from tframex._address import display_url, normalize_url
from tframex._checks import check_messages
from tframex.agents import BasicAgent
from tframex.errors import ConfigurationError
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        (" http://localhost:8000/v1/chat/completions ", "http://localhost:8000/v1"),
        ("https://host/llm", "https://host/llm/v1"),
        ("https://host/openai/v1", "https://host/openai/v1"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_a_url_is_taken_with_or_without_its_version(given: str, base: str) -> None:
    assert normalize_url(given) == base


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://host:80a0/v1", "http://host:0", "http://", "", "   ", None, 7]
)
def test_a_url_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="api_url"):
        VLLMModel("m", url, "k")


def test_a_password_in_a_url_is_not_shown() -> None:
    assert "secret" not in repr(VLLMModel("m", "http://host/v1", "also-secret"))
    for url in (
        "http://me:secret@host/v1",
        "http://host/v1?api-key=secret",
        "http://me:s@secret@host/v1",
        "http://[::1/v1",
    ):
        with pytest.raises(ConfigurationError, match="api_url") as caught:
            VLLMModel("m", url, "k")
        assert "secret" not in str(caught.value)
    assert display_url("http://me:secret@host/v1") == "http://***@host/v1"


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "empty"),
        ("hello", "string 'hello'"),
        ({"role": "user"}, "not dict"),
        (None, "not NoneType"),
        (["hello"], r"messages\[0\] must be a dict, not 'hello'"),
        ([{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}], r"messages\[1\] has the role 'robot'"),
        ([{"content": "a"}], "role None"),
        ([{"role": "user"}], "must be text, not None"),
        ([{"role": "user", "content": 7}], "must be text, not 7"),
    ],
)
def test_messages_that_make_no_sense_are_refused(messages: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        check_messages(messages)


def test_messages_that_make_sense_pass() -> None:
    check_messages(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "tool_calls": []},
            {"role": "tool", "content": "42", "tool_call_id": "1"},
        ]
    )


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("model_name", " "),
        ("model_name", None),
        ("api_key", ""),
        ("api_key", None),
        ("api_key", "clé"),
        ("default_max_tokens", 0),
        ("max_concurrency", 0),
        ("context_window", -1),
        ("idle_timeout", 0),
        ("total_timeout", "soon"),
        ("first_token_timeout", True),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("resume", "maybe"),
        ("reasoning", "loud"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"model_name": "m", "api_url": "http://h", "api_key": "k", argument: value}
    with pytest.raises(ConfigurationError, match=argument) as caught:
        VLLMModel(**arguments)
    assert argument == "api_key" or repr(value) in str(caught.value)


ENVIRONMENT = {"API_URL": "http://h/v1", "API_KEY": "k", "MODEL_NAME": "m", "MAX_TOKENS": "77", "TEMPERATURE": "0.1"}


def test_a_model_from_the_environment() -> None:
    model = VLLMModel.from_env(ENVIRONMENT)
    assert (model.model_name, model.api_url) == ("m", "http://h/v1")
    assert (model.default_max_tokens, model.default_temperature) == (77, 0.1)


def test_openai_s_own_variables_serve_where_ours_are_not_set() -> None:
    model = VLLMModel.from_env({"OPENAI_BASE_URL": "http://o/v1", "OPENAI_API_KEY": "k", "MODEL_NAME": "m"})
    assert (model.api_url, model.default_max_tokens) == ("http://o/v1", 1024)


def key_of(environ: dict[str, str], **given: Any) -> str:
    """The key that a model from these variables sends."""
    with FakeVLLM() as server:
        found = {name: server.url if value == "URL" else value for name, value in environ.items()}
        arguments = {name: server.url if value == "URL" else value for name, value in given.items()}
        with sync.VLLMModel.from_env({"MODEL_NAME": "fake", **found}, **arguments) as model:
            model.call([{"role": "user", "content": "hi"}])
        return server.requests[0].headers["authorization"].removeprefix("Bearer ")


OURS, THEIRS = {"API_URL": "URL", "API_KEY": "ours"}, {"OPENAI_BASE_URL": "URL", "OPENAI_API_KEY": "theirs"}


def test_a_key_of_the_environment_goes_to_the_url_of_its_pair_alone() -> None:
    assert key_of(OURS) == key_of({**THEIRS, **OURS}) == key_of({**OURS, "OPENAI_API_KEY": "theirs"}) == "ours"
    assert key_of(THEIRS) == key_of({**THEIRS, "API_KEY": "ours"}) == "theirs"
    assert key_of({"API_KEY": "ours", "OPENAI_API_KEY": "theirs"}, api_url="URL") == "ours"
    assert key_of({"OPENAI_BASE_URL": "URL", "API_KEY": "ours"}, api_key="given") == "given"


@pytest.mark.parametrize(
    ("environ", "given", "complaint"),
    [
        (
            {"API_URL": "http://h", "OPENAI_API_KEY": "sk"},
            {},
            r"API_KEY is not set; it has the key for API_URL \(OPENAI_API_KEY is set, but only sent to its own URL\)",
        ),
        (
            {"OPENAI_BASE_URL": "http://h", "API_KEY": "sk"},
            {},
            r"OPENAI_API_KEY is not set; it has the key for OPENAI_BASE_URL \(API_KEY is set, but",
        ),
        (
            {"OPENAI_API_KEY": "sk"},
            {"api_url": "http://h"},
            r"API_KEY is not set; it has the key for api_url \(OPENAI",
        ),
        (
            {"API_URL": "http://h"},
            {},
            r"API_KEY is not set; it has the key for API_URL\. Set API_KEY \(for a server",
        ),
    ],
)
def test_a_key_that_belongs_elsewhere_is_refused_and_what_to_set_is_said(
    environ: dict[str, str], given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        VLLMModel.from_env({"MODEL_NAME": "m", **environ}, **given)
    assert "sk" not in str(caught.value).replace("ask", "")


@pytest.mark.parametrize("name", ["API_URL", "API_KEY", "MODEL_NAME"])
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment variable {name} .*is not set"):
        VLLMModel.from_env({**ENVIRONMENT, name: " "})


def test_a_variable_that_is_no_number_is_named_with_its_value() -> None:
    with pytest.raises(ConfigurationError, match="MAX_TOKENS must be a number, not 'many'"):
        VLLMModel.from_env({**ENVIRONMENT, "MAX_TOKENS": "many"})


def test_arguments_go_before_the_environment() -> None:
    model = VLLMModel.from_env({"API_KEY": "k"}, model_name="other", api_url="http://h", default_max_tokens=5)
    assert (model.model_name, model.default_max_tokens) == ("other", 5)


@pytest.mark.parametrize(
    ("option", "value", "home"),
    [
        ("checkpoint", "job.sqlite", "a system's run, complete, stream or run_file"),
        ("progress", print, "a system's run"),
        ("num_calls", 3, r"MultiCallSystem\.run"),
        ("chunk_size", 100, "the constructor of ChainOfAgents"),
        ("default_max_tokens", 5, "the constructor of the model; for one call, give max_tokens"),
        ("max_concurrency", 5, "the constructor of the model"),
        ("system_prompt", "Be brief.", "the constructor of an agent"),
        ("restart", True, "events"),
    ],
)
def test_our_own_keywords_are_refused_where_they_do_not_belong_and_never_posted(
    colour: Colour, option: str, value: Any, home: str
) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            agent = colour.make(BasicAgent("a", colour.original(model)))
            complaint = f"{option} is not an option of a model call, .* {home}"
            with pytest.raises(ConfigurationError, match=complaint):
                await model.call(USER, **{option: value})
            if option != "restart":
                with pytest.raises(ConfigurationError, match=complaint):
                    await agent.run("hi", **{option: value})

    with FakeVLLM() as server:
        colour.run(body)
    assert server.requests == []


def test_what_an_endpoint_calls_as_we_do_can_be_sent_in_the_extra_body(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            await model.call(USER, extra_body={"progress": 1})

    with FakeVLLM() as server:
        colour.run(body)
    assert server.requests[0].body["progress"] == 1


def test_stream_options_can_be_left_out(colour: Colour) -> None:
    """Some gateways refuse a request that has them."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            assert (await model.call(USER, stream_options=None)).usage is None
            await model.call(USER, stream_options=openai.omit)

    with FakeVLLM() as server:
        colour.run(body)
    assert all("stream_options" not in request.body for request in server.requests)
