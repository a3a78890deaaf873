"""Counting with the served model's own tokenizer, and what is known of its window."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.conftest import USER, Colour
from tframex import sync
from tframex.errors import ModelConnectionError
from tframex.model import EndpointCounter, VLLMModel
from tframex.testing import FakeVLLM, ScriptedModel
from tframex.tokens import TokenCounter


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
def test_the_count_is_the_served_model_s(colour: Colour, dialect: Any) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            counter = colour.make(colour.original(model).counter)
            assert await model.window() == 4321
            assert await counter.measure(USER) == (await model.call(USER)).usage.prompt_tokens
            assert await counter.measure_text("three little words") == 3
            assert counter.exact
            asked = counter.requests
            assert await counter.measure(USER) > 0
            assert counter.requests == asked == 2  # the second time it is remembered
            assert counter.bound(USER) >= await counter.measure(USER)

    with FakeVLLM(dialect=dialect, context_window=4321) as server:
        colour.run(body)
        looked = [record.path for record in server.requests if record.path in ("/v1/models", "/props")]
        assert len(looked) == len(set(looked))  # the window is asked for once


def test_an_endpoint_that_does_not_count_is_estimated_and_calibrated() -> None:
    with FakeVLLM(dialect="openai") as server, sync.VLLMModel("fake", server.url, "k") as model:
        counter = model.counter
        assert model.window() is None
        words: list[Any] = [{"role": "user", "content": "one two three " * 50}]
        blind = counter.measure(words)
        assert blind >= 14 * 50  # every byte might be a token
        assert (counter.exact, counter.requests, counter.knows) == (False, 0, False)
        actual = model.call(words).usage
        assert actual is not None
        counter.observe(words, actual.prompt_tokens)
        assert counter.count_messages(words) == pytest.approx(actual.prompt_tokens, abs=1)
        assert actual.prompt_tokens <= counter.measure(words) < 1.2 * actual.prompt_tokens
        digits: list[Any] = [{"role": "user", "content": "1234567890" * 30}]
        assert counter.bound(digits) >= 300
        assert counter.measure_text("one two") == counter.count("one two")


def test_an_endpoint_that_tells_nothing_is_estimated_with_a_margin() -> None:
    counter = EndpointCounter(ScriptedModel("x"))
    words: list[Any] = [{"role": "user", "content": "one two three " * 50}]
    blind = anyio.run(counter.measure, words)
    counter.observe(words, None)
    assert counter.count_messages(words) < counter.bound(words) < blind
    assert isinstance(counter, TokenCounter)
    assert repr(counter) == "EndpointCounter('scripted', exact=False, requests=0)"
    assert isinstance(sync.EndpointCounter(sync.blocking(ScriptedModel("x"))).ratio, float)


def test_llama_cpp_s_answer_to_vllm_s_question_is_not_taken_for_a_count() -> None:
    """It answers vLLM's `/tokenize` with an empty list, which is no count of 0."""
    with FakeVLLM(dialect="llama.cpp") as server, sync.VLLMModel("fake", server.url, "k") as model:
        assert model.counter.measure_text("some words") == 2
        assert {record.path for record in server.requests} >= {"/v1/models", "/props", "/tokenize"}


def test_a_window_that_is_given_is_not_asked_for() -> None:
    with FakeVLLM() as server, sync.VLLMModel("fake", server.url, "k", context_window=99) as model:
        assert model.window() == 99
        assert server.requests == []


@pytest.mark.usefixtures("no_wait")
def test_a_dead_endpoint_is_an_error_not_an_unknown_window() -> None:
    with FakeVLLM() as server:
        url = server.url
    with sync.VLLMModel("fake", url, "k") as model, pytest.raises(ModelConnectionError):
        model.window()


def test_small_prompts_ask_nobody() -> None:
    with FakeVLLM() as server, sync.VLLMModel("fake", server.url, "k") as model:
        sync.BasicAgent("a", model).run("Hi")
        assert [record.path for record in server.requests] == ["/v1/chat/completions"]
