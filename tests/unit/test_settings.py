"""What is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from tframex.errors import ConfigurationError
from tframex.model import VLLMModel
from tframex.model._settings import check_messages, display_url, normalize_url


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
