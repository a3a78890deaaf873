"""What is complete is taken for complete, what is truncated never is, and a continuation asks for what is missing."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.conftest import USER, Colour
from tests.unit.test_exchange import MESSAGES, cut, event, exchange, first, usage
from tframex.errors import ConfigurationError, ModelError, StreamInterruptedError
from tframex.exchange import ChatRequest, ServedModel
from tframex.model import ToolCall, VLLMModel
from tframex.servers import LLAMA_CPP, VLLM
from tframex.testing import FakeVLLM, Fault

DONE = b"data: [DONE]\n\n"
UNKNOWN = ServedModel(probed=True)


def vllm(**known: Any) -> ServedModel:
    return ServedModel(server=VLLM, token_ids=True, continues=True, **known)


# -- complete --------------------------------------------------------------------------------------------------------


def test_a_server_that_ignores_n_gives_one_complete_answer() -> None:
    state = exchange(n=2)
    state.reader.feed(event("One") + event(" two", "stop") + DONE)
    assert state.ended(None) is None
    assert state.evidence() == ("finish_reason", "[DONE]")


def test_of_two_answers_that_began_both_must_end() -> None:
    for body in (
        event("One") + event("Uno", index=1) + event("", "stop") + DONE,
        event("One") + event("Uno", index=1) + event("", "stop"),
        event("One") + event("", "stop"),  # the second may have been about to begin
    ):
        state = exchange(n=2)
        state.reader.feed(body)
        with pytest.raises(StreamInterruptedError):
            state.ended(None)


def test_special_tokens_without_an_event_are_no_loss() -> None:
    state = exchange(vllm(), max_tokens=99)
    state.answer.tokens.prompt = [1]
    words = b"".join(event(f" {number}", token_ids=[number]) for number in range(20))
    state.reader.feed(words + event("", "stop", token_ids=[2]) + usage(1, 24) + DONE)
    assert state.ended(None) is None
    assert state.evidence() == ("finish_reason", "[DONE]"), "the usage is no evidence, since it does not agree"


@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8"])
@pytest.mark.parametrize("start", ["", "\ufeff", ": hello\n\n", "event: message\n"])
def test_events_are_events_whatever_they_are_labelled(kind: str, start: str) -> None:
    body = start.encode() + event("One") + event(" two", "stop") + DONE
    for size in (1, 7, len(body)):
        state = exchange()
        state.reader.opened({"content-type": kind})
        for place in range(0, len(body), size):
            state.reader.feed(body[place : place + size])
        assert state.ended(None) is None
        assert state.answer.content == "One two"


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize("body", [b"<!DOCTYPE html>", b'{"data": 1}', b"dat", b"", b"\n\n", b"data is what you want"])
def test_a_page_is_still_no_stream(kind: str, body: bytes) -> None:
    state = exchange()
    state.reader.opened({"content-type": kind})
    for place in range(len(body)):
        assert not state.reader.feed(body[place : place + 1]).chunks
    with pytest.raises(ModelError):
        state.ended(None)


@pytest.mark.parametrize("nothing", ["", False, {}, [], 0])
def test_an_empty_error_is_no_error(nothing: Any) -> None:
    state = exchange()
    body = {"choices": [{"index": 0, "delta": {"content": "One"}, "finish_reason": "stop"}], "error": nothing}
    state.reader.feed(b"data: " + json.dumps(body).encode() + b"\n\n" + DONE)
    assert (state.ended(None), state.answer.content) == (None, "One")


def test_done_is_evidence_enough_from_a_server_that_is_not_known_to_say_why_it_ended() -> None:
    state = exchange(ServedModel(probed=True))
    state.reader.feed(event("One") + event(" two") + DONE)
    assert state.ended(None) is None
    assert state.evidence() == ("[DONE]",)


@pytest.mark.parametrize("able", [vllm(), ServedModel(server=LLAMA_CPP, continues=True)])
def test_done_without_a_reason_is_a_break_where_the_server_always_says_why(able: ServedModel) -> None:
    assert cut_by_itself(exchange(able), event("One") + event(" two") + DONE) == "continue"


def test_done_without_any_event_is_no_answer() -> None:
    assert cut_by_itself(exchange(ServedModel(probed=True)), DONE) == "fresh"


def cut_by_itself(state: Any, body: bytes) -> str:
    state.reader.feed(body)
    step = state.ended(None)
    assert step is not None
    return str(step.kind)


# -- continued -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_wait")
def test_a_history_that_grows_with_the_answer_is_not_part_of_its_continuation(colour: Colour) -> None:
    text = "One two three four five six seven eight nine ten"

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            parts: Any = [{"type": "text", "text": "Count."}]
            history: list[Any] = [{"role": "user", "content": parts}]
            answer = {"role": "assistant", "content": ""}
            async for piece in model.call_stream(history):
                if not answer["content"]:
                    history.append(answer)
                    parts.append({"type": "text", "text": "More."})
                answer["content"] += piece
        assert answer["content"] == text
        sent = server.completions()[1].body["messages"]
        assert [message["role"] for message in sent] == ["user", "assistant"]
        assert sent[0]["content"] == [{"type": "text", "text": "Count."}]

    with FakeVLLM(text, faults=[Fault.cut(1500)]) as server:
        colour.run(body)


def test_messages_without_an_end_are_refused_before_anything_is_sent() -> None:
    circular: dict[str, Any] = {"role": "user", "content": []}
    circular["content"].append(circular)
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        ChatRequest.build("m", [circular], {})


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
VIDEO = {"type": "video_url", "video_url": {"url": "http://h/v.mp4"}}


@pytest.mark.parametrize("part", [IMAGE, AUDIO, VIDEO, {"no": "type"}])
def test_a_conversation_with_more_than_text_is_not_continued_from_tokens(part: Any) -> None:
    """The text endpoint gets ids alone: the model would not see the picture."""
    seen = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    state = exchange(vllm(), max_tokens=9)
    state.request = ChatRequest.build("m", [*seen, {"role": "assistant", "content": None}], {"max_tokens": 9})
    assert "return_token_ids" not in first(state).request.options
    state.answer.tokens.prompt = [1, 2]
    step = cut(state, event("A", token_ids=[7]))
    assert step.kind == "continue"
    assert step.request.messages[0] == seen[0]


def test_text_in_parts_is_continued_from_tokens() -> None:
    state = exchange(vllm(), max_tokens=9)
    state.request = ChatRequest.build(
        "m", [{"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}], {"max_tokens": 9}
    )
    state.answer.tokens.prompt = [1, 2]
    assert cut(state, event("A", token_ids=[7])).kind == "tokens"


def test_a_thought_whose_end_has_no_token_is_not_continued_from_tokens() -> None:
    """An older vLLM sends no event for the token that ends the thought: without it the model would think on."""
    thought = b'data: {"choices":[{"index":0,"delta":{"reasoning":"Hm"},"token_ids":[3]}]}\n\n'
    mark = b'data: {"choices":[{"index":0,"delta":{},"token_ids":[4]}]}\n\n'
    for body, kind in (
        (thought + event("Yes", token_ids=[5]), "continue"),
        (thought + mark + event("Yes", token_ids=[5]), "tokens"),
    ):
        state = exchange(vllm(), max_tokens=9)
        state.answer.tokens.prompt = [1, 2]
        assert cut(state, body).kind == kind


def test_max_tokens_of_a_continuation_counts_ids_not_events() -> None:
    """With speculative decoding an event carries several."""
    state = exchange(vllm(), max_tokens=20)
    state.answer.tokens.prompt = [1, 2]
    step = cut(state, event("One two", token_ids=[7, 8, 9]) + event(" three four", token_ids=[10, 11]))
    assert (step.kind, step.request.options["max_tokens"]) == ("continue", 15)
    step = cut(state, b"".join(event(f" {number}") for number in range(8)))
    assert step.request.options["max_tokens"] == 7


def test_an_answer_of_events_with_several_ids_is_finished_when_it_has_all_its_tokens() -> None:
    state = exchange(vllm(), max_tokens=5)
    state.answer.tokens.prompt = [1, 2]
    state.reader.feed(event("One two", token_ids=[7, 8, 9]) + event(" three four", token_ids=[10, 11]))
    assert state.ended(None) is None
    assert state.evidence() == ("max_tokens",)


def test_what_a_continuation_says_is_not_glued_to_the_tokens_before_it() -> None:
    """Between two texts there may be a token that neither of them has: white space that was left out and written again."""
    state = exchange(vllm(), max_tokens=50, return_token_ids=True)
    state.answer.tokens.prompt = [1, 2]
    state._given_up.add("tokens")
    assert cut(state, event("One \n", token_ids=[7])).kind == "continue"
    state._given_up.clear()
    assert cut(state, b"".join(event(f" {n}", token_ids=[n]) for n in range(8))).kind == "continue"


@pytest.mark.parametrize("nothing", [None, openai.omit, openai.not_given])
def test_stream_options_can_be_left_out(colour: Colour, nothing: Any) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            assert (await model.call(USER, stream_options=nothing)).text == "Hi"
            assert (await model.call(USER, stream_options={"continuous_usage_stats": True})).usage
        assert "stream_options" not in server.completions()[0].body
        asked = {"include_usage": True, "continuous_usage_stats": True}
        assert server.completions()[1].body["stream_options"] == asked

    with FakeVLLM("Hi") as server:
        colour.run(body)


# -- retries are not resumes -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_wait")
def test_without_retries_an_answer_that_breaks_within_its_first_tokens_is_continued(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", max_retries=0)) as model:
            completion = await model.call(USER)
        assert (completion.text, completion.resumes, completion.retries) == ("One two three four", 1, 0)

    with FakeVLLM("One two three four", faults=[Fault.cut(700)]) as server:
        colour.run(body)


def test_without_retries_a_server_that_dies_after_every_token_is_asked_once_more() -> None:
    state = exchange()
    state._patience.max_retries = 0
    assert cut(state, event("One")).kind == "continue"
    with pytest.raises(StreamInterruptedError):
        cut(state, event(" two"))


def test_without_retries_nothing_that_brought_nothing_is_sent_again() -> None:
    for options, body in (({}, b""), ({"n": 2}, event("One")), ({"tools": [{}]}, event("One"))):
        state = exchange(restartable=True, **options)
        state._patience.max_retries = 0
        with pytest.raises(ModelError):
            cut(state, body)


# -- tool calls ------------------------------------------------------------------------------------------------------


def called(*pieces: dict[str, Any]) -> tuple[tuple[ToolCall, ...], list[ToolCall]]:
    """The calls that pieces make, and the pieces as the reader gets them."""
    from tests.unit.test_assembly import assembled

    assembly, deltas = assembled(*({"delta": {"tool_calls": [piece]}} for piece in pieces))
    return assembly.choices()[0].tool_calls, [call for delta in deltas for call in delta.tool_calls]


def piece(id_: str | None, name: str | None, arguments: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}


def test_parallel_calls_that_all_say_index_0_are_told_apart_by_their_ids() -> None:
    calls, pieces = called(
        piece("a", "f", "{"),
        piece(None, None, "}"),
        piece("b", "g", "["),
        piece("b", None, "]"),
        piece("c", "f", "3", 1),
    )
    assert calls == (ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g", "[]"), ToolCall(2, "c", "f", "3"))
    assert [call.index for call in pieces] == [0, 0, 1, 1, 2]


def test_an_id_that_changes_with_every_piece_makes_no_new_call() -> None:
    """Older vLLM sends a random one with each piece; only the first has the name."""
    calls, _ = called(piece("a", "f", "{"), piece("b", None, '"x"'), piece("c", None, ": 1}"))
    assert calls == (ToolCall(0, "a", "f", '{"x": 1}'),)


def test_arguments_are_joined_once_not_at_every_piece() -> None:
    """Joined at every piece, 400 kB took four seconds."""
    calls, _ = called(piece("a", "f", ""), *(piece(None, None, "x") for _ in range(1000)))
    assert calls[0].arguments == "x" * 1000


def test_the_conversation_is_what_was_asked() -> None:
    assert ChatRequest.build("m", MESSAGES, {}).messages == MESSAGES
