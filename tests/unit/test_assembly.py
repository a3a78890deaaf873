"""From chunks to the answer, for what the fake endpoint does not send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import USER, Colour
from tframex.exchange._collector import Collector
from tframex.exchange._wire import decode_chunk, read_leniently
from tframex.model import ToolCall, VLLMModel
from tframex.testing import FakeVLLM


def assembled(*choices: dict[str, Any], decode: Any = decode_chunk) -> tuple[Collector, list[Any]]:
    collector = Collector("inline")
    deltas: list[Any] = []
    for choice in choices:
        collector.note(decode(json.dumps({"choices": [{"index": 0, **choice}]}).encode()), deltas)
    return collector, deltas


PIECES: list[dict[str, Any]] = [
    {
        "delta": {
            "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]
        }
    },
    {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]}},
    {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}, {"index": 1, "id": "b"}]}},
    {"delta": {}, "finish_reason": "tool_calls"},
]


@pytest.mark.parametrize("decode", [decode_chunk, lambda data: read_leniently(json.loads(data))])
def test_tool_calls_are_put_together_from_their_pieces(decode: Any) -> None:
    collector, deltas = assembled(*PIECES, decode=decode)
    choice = collector.choices()[0]
    assert choice.tool_calls == (ToolCall(0, "a", "f", '{"x": 1}'), ToolCall(1, "b"))
    assert (choice.finish_reason, choice.text) == ("tool_calls", "")
    assert [len(delta.tool_calls) for delta in deltas] == [1, 1, 2]


def test_choices_are_those_that_arrived() -> None:
    collector = Collector("inline")
    collector.note(decode_chunk(b'{"choices":[{"index":1,"delta":{"content":"hi"}}]}'), [])
    assert [choice.text for choice in collector.choices()] == ["hi"]


def test_log_probabilities_and_refusals_are_kept() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    collector, _ = assembled(
        {"delta": {"content": "Hi"}, "logprobs": {"content": [entry]}},
        {"delta": {"refusal": "I will not."}, "logprobs": None, "finish_reason": "stop"},
    )
    choice = collector.choices()[0]
    assert choice.logprobs == (entry,)
    assert (choice.text, choice.refusal) == ("Hi", "I will not.")
    collector.clear()
    assert (collector.text, collector.choices()[0].text) == ("", "")


def test_an_event_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="an event is list, not an object"):
        read_leniently([1])


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
def test_the_fake_refuses_what_a_real_server_refuses(dialect: Any) -> None:
    import httpx2

    with FakeVLLM(dialect=dialect, context_window=20) as server, httpx2.Client(base_url=server.url) as client:

        def ask(**body: Any) -> tuple[int, str]:
            reply = client.post("chat/completions", json={"model": "fake", "messages": USER, **body})
            return reply.status_code, reply.text

        assert ask(messages=[{"role": "user", "content": "word " * 30}])[0] == 400
        assert "Cannot set both" in ask(continue_final_message=True)[1]
        assert ask(messages="hi")[0] == 400
        assert ask(temperature=-1)[0] == 400
        assert client.post("chat/completions", content=b"{").status_code == 400
        assert client.get("models").json()["data"][0]["id"] == "fake"
        root = server.url.removesuffix("/v1")
        assert httpx2.get(f"{root}/health").status_code == 200
        assert httpx2.get(f"{root}/nothing").status_code == 404
        if dialect == "vllm":
            assert ask(model="other")[0] == 404
            assert httpx2.get(f"{root}/version").json() == {"version": "0.32.0"}
            tokens = httpx2.post(f"{root}/tokenize", json={"prompt": "Hello world"}).json()["tokens"]
            assert httpx2.post(f"{root}/detokenize", json={"tokens": tokens}).json() == {"prompt": "Hello world"}
        else:
            assert httpx2.get(f"{root}/props").json()["default_generation_settings"] == {"n_ctx": 20}


@pytest.mark.parametrize("prompt", [["one", "two"], ["one"], [[1, 2]], None, 7])
def test_the_fake_refuses_a_prompt_that_it_cannot_complete(prompt: Any) -> None:
    import httpx2

    with FakeVLLM() as server:
        reply = httpx2.post(f"{server.url}/completions", json={"model": "fake", "prompt": prompt})
    assert reply.status_code == 400
    assert "prompt" in reply.json()["error"]["message"]


def test_a_partial_answer_that_ends_in_white_space_bends_the_fake_as_it_bends_a_model() -> None:
    with FakeVLLM("One two") as server:
        messages = [*USER, {"role": "assistant", "content": "One "}]
        model = Colour("sync").make(VLLMModel("fake", server.url, "k"))
        options = {"continue_final_message": True, "add_generation_prompt": False}
        completion = Colour("sync").run(lambda: model.call(messages, **options))
        Colour("sync").run(model.close_client)
    assert "bent" in completion.text
