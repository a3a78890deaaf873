"""The resume ladder, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tenacity

from tests.conftest import USER, Colour
from tframex.errors import ModelError, ModelStatusError, StreamInterruptedError
from tframex.exchange import ServedModel, error_from_body, stream_cut, timed_out
from tframex.exchange._arrival import Arrival
from tframex.exchange._attempt import Attempt
from tframex.exchange._exchange import Exchange
from tframex.exchange._request import ChatRequest
from tframex.exchange._retry import RetryBudget
from tframex.exchange._splice import Splice, StartedOverError
from tframex.exchange._wire import Chunk, ChunkChoice, ChunkDelta
from tframex.model import VLLMModel
from tframex.servers import LLAMA_CPP, OPENAI, VLLM
from tframex.testing import FakeVLLM, Fault

MESSAGES = [{"role": "user", "content": "hi"}]


def exchange(served: ServedModel | None = None, *, restartable: bool = False, **options: Any) -> Exchange:
    return Exchange(
        ChatRequest.build("m", MESSAGES, options),
        served=served or ServedModel(server=VLLM, continues=True),
        budget=RetryBudget(),
        model_id="m",
        restartable=restartable,
        wait=tenacity.wait_none(),
    )


def event(content: str | None = None, finish: str | None = None, **choice: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    body = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(prompt: int, completion: int) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"


CUT = stream_cut(model_id="m")


def first(state: Exchange) -> Attempt:
    step = state.first()
    assert step is not None
    return step


def choices(batch: Arrival) -> list[Any]:
    return [chunk.choices[0] for chunk in batch.chunks if isinstance(chunk, Chunk) and chunk.choices]


def cut(state: Exchange, data: bytes) -> Attempt:
    state.reader.feed(data)
    step = state.ended(stream_cut(model_id="m"))
    assert step is not None
    return step


def test_the_partial_answer_becomes_the_last_message_and_max_tokens_shrinks() -> None:
    step = cut(exchange(max_tokens=10, min_tokens=4, temperature=0), event("One ") + event("two"))
    assert step.kind == "continue"
    assert step.request.messages == [*MESSAGES, {"role": "assistant", "content": "One two"}]
    assert step.request.options == {
        "max_tokens": 8,
        "min_tokens": 2,
        "temperature": 0,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


def test_white_space_at_the_cut_is_left_out_and_joined_again() -> None:
    state = exchange()
    step = cut(state, event("One \n"))
    assert step.request.messages[-1]["content"] == "One"
    assert [choice.delta.content for choice in choices(state.reader.feed(event(" \n") + event("\ntwo")))] == ["\ntwo"]


def test_a_partial_answer_of_nothing_but_white_space_is_asked_for_anew() -> None:
    state = exchange()
    step = cut(state, event("\n"))
    assert (step.kind, step.request.messages) == ("fresh", MESSAGES)
    state.reader.feed(event("\n") + event("One", "stop"))
    assert state.ended(None) is None
    assert state.answer.content == "\nOne"


def test_a_continuation_the_user_began_is_continued_in_the_same_message() -> None:
    started = [*MESSAGES, {"role": "assistant", "content": "It is"}]
    state = Exchange(
        ChatRequest.build("m", started, {"continue_final_message": True, "add_generation_prompt": False}),
        served=ServedModel(server=VLLM, continues=True),
        budget=RetryBudget(),
        model_id="m",
    )
    assert cut(state, event(" red")).request.messages == [*MESSAGES, {"role": "assistant", "content": "It is red"}]


def test_an_endpoint_that_refuses_the_question_for_token_ids_is_asked_without() -> None:
    """A gateway may list a vLLM's models and know none of its options."""
    able = ServedModel()
    able.learn_from_owner("vllm")
    state = exchange(able, max_tokens=5)
    assert first(state).request.options["return_token_ids"] is True
    refusal = error_from_body({"message": "Unrecognized request argument: return_token_ids", "code": 400}, model_id="m")
    step = state.ended(refusal)
    assert step is not None
    assert (step.kind, "return_token_ids" in step.request.options, able.token_ids) == ("fresh", False, False)
    with pytest.raises(ModelStatusError):
        state.ended(refusal)


def test_tokens_without_text_count_in_a_continuation_too() -> None:
    """Half an emoji has no text; asked to continue without it, a vLLM repeats the complete prompt in its answer."""
    state = exchange(ServedModel(server=VLLM, token_ids=True, continues=True), max_tokens=20)
    state.answer.tokens.prompt = [1, 2]
    assert prompt_of(cut(state, event("Hi", token_ids=[7]) + event("", token_ids=[8]))) == [1, 2, 7]
    halves = b"".join(completion(text, [number]) for text, number in (("", 8), ("", 9), ("\u2601", 10), ("", 11)))
    assert prompt_of(cut(state, halves)) == [1, 2, 7, 8, 9, 10]
    assert state.answer.content == "Hi\u2601"


def prompt_of(step: Attempt) -> list[int]:
    assert step.kind == "tokens"
    return list(step.request.prompt or ())


def completion(text: str, ids: list[int]) -> bytes:
    """An event of `/v1/completions`."""
    body = {"choices": [{"index": 0, "text": text, "finish_reason": None, "token_ids": ids}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def test_token_ids_are_asked_for_where_the_endpoint_has_them() -> None:
    able = ServedModel(server=VLLM, token_ids=True, continues=True)
    assert first(exchange(able, max_tokens=5)).request.options["return_token_ids"] is True
    for options in (
        {},
        {"max_tokens": 5, "stop": ["x"]},
        {"max_tokens": 5, "logprobs": True},
        {"max_tokens": 5, "n": 2},
    ):
        assert "return_token_ids" not in first(exchange(able, **options)).request.options


def test_tokens_whose_text_was_held_back_are_asked_for_again() -> None:
    """As the end of a prompt, half a character makes vLLM repeat the complete prompt (vllm issue 48853)."""
    state = exchange(ServedModel(server=VLLM, token_ids=True, continues=True), max_tokens=9, response_format=None)
    state.first()
    opening = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "prompt_token_ids": [1, 2]}
    state.reader.feed(b"data: " + json.dumps(opening).encode() + b"\n\n")
    step = cut(state, event("Hi", token_ids=[7]) + event("", token_ids=[8]) + event("", token_ids=[9]))
    assert (step.kind, step.request.prompt) == ("tokens", (1, 2, 7))
    body = step.request.keywords()["body"]
    assert (body["prompt"], body["max_tokens"], "messages" in body) == ((1, 2, 7), 8, False)


def test_several_tokens_in_one_event_are_not_trusted() -> None:
    state = exchange(ServedModel(server=VLLM, token_ids=True, continues=True), max_tokens=9)
    state.answer.tokens.prompt = [1, 2]
    assert cut(state, event("Hi", token_ids=[7, 8])).kind == "continue"


def test_a_refused_step_falls_to_the_next_and_the_user_hears_of_the_break() -> None:
    able = ServedModel(server=VLLM, token_ids=True, continues=True)
    state = exchange(able, max_tokens=9)
    state.answer.tokens.prompt = [1]
    assert cut(state, event("Hello", token_ids=[7])).kind == "tokens"
    step = state.ended(error_from_body({"code": 404, "message": "Not Found"}, model_id="m"))
    assert step is not None
    assert (step.kind, able.token_ids) == ("continue", False)
    with pytest.raises(StreamInterruptedError, match="the body ended") as caught:
        state.ended(error_from_body({"code": 400, "message": "no such template"}, model_id="m"))
    assert caught.value.partial == "Hello"
    assert able.continues is True, "one answer's refusal says nothing about the next one"


def test_an_unknown_endpoint_is_asked_once_what_it_is() -> None:
    able = ServedModel()
    state = exchange(able)
    assert cut(state, event("Hello there")).kind == "probe"
    step = state.probed("vllm")
    assert step is not None
    assert (step.kind, able.server.name) == ("continue", "vllm")
    # One that remains unknown is never trusted to continue: it may start over in other words.
    with pytest.raises(StreamInterruptedError):
        cut(exchange(ServedModel(probed=True)), event("Hello there"))
    assert cut(exchange(ServedModel(probed=True), restartable=True), event("Hello there")).kind == "fresh"


def test_an_endpoint_that_starts_over_is_not_asked_to_continue_again() -> None:
    able = ServedModel(server=VLLM, continues=True)
    long = "An answer that is long enough to be known again when it is told a second time, word for word."
    state = exchange(able)
    assert cut(state, event(long)).kind == "continue"
    state.reader.feed(event(long))
    assert state.reader.failure is not None
    with pytest.raises(StreamInterruptedError) as caught:
        state.ended(state.reader.failure)
    assert (caught.value.partial, able.continues) == (long, False)


def test_a_reader_that_left_is_not_a_break() -> None:
    state = exchange()
    state.reader.feed(event("Hello"))
    state.closed = True
    assert state.ended(stream_cut(model_id="m")) is None


def test_a_server_that_dies_after_every_token_is_not_asked_for_ever() -> None:
    state = exchange()
    requests = 0
    with pytest.raises(StreamInterruptedError):
        for _ in range(50):
            cut(state, event("word "))
            requests += 1
    assert requests == 2


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"index": None, "delta": {"content": "Hi"}, "finish_reason": "stop"}, "Hi"),
        (
            {
                "index": 0,
                "delta": {"content": [{"type": "text", "text": "Hi"}, {"text": "!"}]},
                "finish_reason": "stop",
            },
            "Hi!",
        ),
        ({"index": 0.0, "delta": None, "finish_reason": 7}, ""),
    ],
)
def test_json_of_another_shape_is_read_as_far_as_it_is_understood(choice: Any, text: str) -> None:
    state = exchange()
    body = {"choices": [choice], "usage": {"prompt_tokens": None, "completion_tokens": 2.0}, "id": 7}
    state.reader.feed(b"data: " + json.dumps(body).encode() + b"\n\n")
    assert state.answer.content == text
    assert state.reader.complete
    assert state.answer.unspliceable


@pytest.mark.parametrize(
    "options",
    [
        {"n": 2},
        {"tools": [{}]},
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"choice": ["a"]}},
        {"guided_json": {}, "guided_regex": "x"},
        {"grammar": 'root ::= "a"'},
        {"json_schema": {"type": "object"}},
        {"regex": "a+"},
        {"ebnf": 'root ::= "a"'},
        {"structural_tag": "{}"},
        {"echo": True},
        {"stop": ["END"], "include_stop_str_in_output": True},
    ],
)
def test_what_cannot_be_joined_is_never_joined(options: dict[str, Any]) -> None:
    with pytest.raises(StreamInterruptedError):
        cut(exchange(**options), event("Hello there"))
    assert cut(exchange(restartable=True, **options), event("Hello there")).kind == "fresh"


def test_tool_calls_are_never_joined() -> None:
    call = {"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{"}}]}}
    with pytest.raises(StreamInterruptedError):
        cut(exchange(), b"data: " + json.dumps({"choices": [call]}).encode() + b"\n\n")


def test_starting_over_is_bounded_by_max_retries() -> None:
    state = exchange(ServedModel(server=OPENAI, continues=False), restartable=True)
    for _ in range(2):
        assert cut(state, event("Hello there")).kind == "fresh"
    with pytest.raises(StreamInterruptedError):
        cut(state, event("Hello there"))
    assert state.restarts == 2


def test_breaks_that_brought_something_cost_no_budget() -> None:
    budget = RetryBudget()
    state = Exchange(
        ChatRequest.build("m", MESSAGES, {}),
        served=ServedModel(server=VLLM, continues=True),
        budget=budget,
        model_id="m",
    )
    for number in range(500):
        cut(state, b"".join(event(f"word{number}.{part} ") for part in range(8)))
    assert repr(budget) == "RetryBudget(100 of 100)"


def test_an_answer_with_all_its_tokens_lacks_nothing_but_the_reason() -> None:
    state = exchange(ServedModel(server=LLAMA_CPP, continues=True), max_tokens=2)
    state.reader.feed(event("One") + event(" two"))
    assert state.ended(stream_cut(model_id="m")) is None
    assert [choice.finish_reason for choice in choices(state.tail)] == ["length"]
    assert state.evidence() == ("max_tokens",)
    # Elsewhere an event may be a letter: counting them proves nothing.
    letters = exchange(max_tokens=2)
    assert cut(letters, event("O") + event("n") + event("e")).kind == "continue"


def test_an_answer_of_which_tokens_were_lost_on_the_way_is_not_whole() -> None:
    for restartable in (True, False):
        state = exchange(
            ServedModel(server=VLLM, token_ids=True, continues=True), restartable=restartable, max_tokens=99
        )
        state.answer.tokens.prompt = [1]
        state.reader.feed(
            event("One", token_ids=[5]) + event(" two", "stop", token_ids=[6]) + usage(1, 9) + b"data: [DONE]\n\n"
        )
        if restartable:
            step = state.ended(None)
            assert step is not None
            assert step.kind == "fresh"
        else:
            with pytest.raises(StreamInterruptedError, match="the server counts 9 tokens, 2 arrived"):
                state.ended(None)


def test_more_events_than_tokens_are_no_reason_to_doubt() -> None:
    state = exchange()
    state.reader.feed(event("O") + event("n") + event("e", "stop") + usage(1, 1))
    assert state.ended(None) is None
    assert state.evidence() == ("finish_reason", "usage")


def test_usage_adds_up_over_all_requests() -> None:
    state = exchange()
    cut(state, event("One") + event(" two"))
    state.reader.feed(event(" three", "stop") + usage(12, 1))
    assert state.ended(None) is None
    total, estimated = state.usage()
    assert total is not None
    assert (total.completion_tokens, total.prompt_tokens, estimated) == (3, 22, True)


def test_reasoning_is_continued_inside_its_tags() -> None:
    thought = b'data: {"choices":[{"index":0,"delta":{"reasoning":"I think"},"finish_reason":null}]}\n\n'
    state = exchange()
    assert cut(state, thought).request.messages[-1]["content"] == "<think>\nI think"
    state.reader.feed(b'data: {"choices":[{"index":0,"delta":{"reasoning":" so"},"finish_reason":null}]}\n\n')
    step = cut(state, event("\n\nYes"))
    assert step.request.messages[-1]["content"] == "<think>\nI think so</think>\n\nYes"
    assert step.request.options["chat_template_kwargs"] == {"enable_thinking": False}
    state.reader.feed(b'data: {"choices":[{"index":0,"delta":{"reasoning":", it is."},"finish_reason":"stop"}]}\n\n')
    assert state.answer.content == "\n\nYes, it is."


def test_what_will_not_pass_is_raised_with_what_arrived() -> None:
    state = exchange()
    state.reader.feed(event("Hello"))
    with pytest.raises(ModelError, match="not finished within 3 s") as caught:
        state.ended(timed_out("total", model_id="m", seconds=3))
    assert caught.value.partial == "Hello"
    with pytest.raises(ModelStatusError):
        exchange().ended(error_from_body({"code": 400, "message": "bad"}, model_id="m"))


def test_the_server_is_learned_from_what_comes_anyway() -> None:
    for headers, kind in (({"server": "llama.cpp"}, "llama.cpp"), ({"openai-version": "x"}, "openai"), ({}, "unknown")):
        able = ServedModel()
        able.learn_from_headers(headers)
        assert able.server.name == kind
    able = ServedModel()
    state = exchange(able)
    state.reader.feed(b'data: {"choices":[],"system_fingerprint":"vllm-0.8"}\n\n')
    assert (able.server.name, able.token_ids, able.continues) == ("vllm", False, True)
    able.learn_from_owner("openai")
    assert able.server.name == "vllm"


@pytest.mark.parametrize(
    ("answer", "omitted", "verify", "pieces", "result"),
    [
        ("One", " ", False, [" two"], "two"),
        ("One", " ", False, ["two"], "two"),
        ("One", "\n\n", False, ["\n", "\n", "\ntwo"], "\ntwo"),
        ("One two three four five six seven", "", True, [" eight"], " eight"),
        ("One two three four five six seven", "", True, ["One", " more"], "One more"),
        ("One two three four five six seven", " ", True, [" One", " time"], "One time"),
        ("One", "", True, ["One"], "One"),
    ],
)
def test_a_continuation_is_joined(answer: str, omitted: str, verify: bool, pieces: list[str], result: str) -> None:
    splice = Splice(answer, omitted, verify=verify)
    assert "".join(splice.feed(piece) for piece in pieces) + splice.finish() == result


def test_an_answer_that_starts_over_is_noticed() -> None:
    splice = Splice("One two three four five six", verify=True)  # shorter than 64 characters: all of it must come again
    splice.feed("One two three")
    with pytest.raises(StartedOverError):
        splice.feed(" four five six")


TEXT_AND_MORE = [
    event("plain"),
    event("with ids", token_ids=[7]),
    event("with two ids", token_ids=[7, 8]),
    event("", token_ids=[9]),
    event("with log probabilities", logprobs={"content": []}),
    event("the end", "stop"),
    event("another choice", index=1),
    b'data: {"choices": [{"index": 0, "delta": {"content": "and a thought", "reasoning": "hm"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "x", "tool_calls": [{"index": 0}]}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": {"completion_tokens": 3}}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d\\ude00 \\"quoted\\""}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "no index", "tool_calls": null}, "finish_reason": null}]}\n\n',
]


@pytest.mark.parametrize("data", TEXT_AND_MORE)
def test_an_event_means_the_same_whether_it_is_read_as_text_or_in_full(data: bytes) -> None:
    states = []
    for shortcut in (True, False):
        state = exchange()
        state.reader.feed(event("first"))
        if not shortcut:
            state.reader._plain = -1000
        chunks = [chunk if isinstance(chunk, str) else _only_text(chunk) for chunk in state.reader.feed(data).chunks]
        states.append((chunks, known(state), state.reader.complete))
    assert states[0] == states[1]


def known(state: Exchange) -> tuple[Any, ...]:
    """All that is known of an answer."""
    answer, tokens = state.answer, state.answer.tokens
    of_tokens = [getattr(tokens, name) for name in tokens.__slots__]
    return answer.choices(), answer.phase, answer.unspliceable, tokens.ids, tokens.count, of_tokens, state.usage()


def _only_text(chunk: Chunk) -> Chunk | str:
    """The text of a chunk that is nothing else."""
    (choice,) = chunk.choices or (ChunkChoice(),)
    text = choice.delta.content if choice.delta else None
    plain = Chunk(choices=[ChunkChoice(delta=ChunkDelta(content=text), token_ids=choice.token_ids)])
    return text if text and chunk == plain else chunk


def test_an_answer_that_repeats_itself_is_no_answer_that_starts_over() -> None:
    verse = "The keeper wrote it down, and the sea was calm, and nobody said a word of it. "
    splice = Splice(verse * 3, verify=True)
    assert splice.feed(verse) + splice.feed("The end.") + splice.finish() == verse + "The end."
    with pytest.raises(StartedOverError):
        Splice(verse + "Then the ferry came.", verify=True).feed(verse)


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ("word word word word word", " word word word word word word"),
        ("word " * 6, "word " * 20),
        ("ha ha ha ha ha ha ha ha ha ha", " ha" * 40),
        ("Row, row, row your boat. Row, row, row your boat.", " Row, row, row your boat." * 3),
        ("A line.\n" * 5, "A line.\n" * 30),
        ("la la la, la la la la la, la la la, la la", " la" * 30),
        ("ab" * 2000, "ab" * 2000),
    ],
)
def test_a_text_that_repeats_itself_may_continue_with_its_own_beginning(answer: str, more: str) -> None:
    """However short it is: it has repeated its beginning before, and nothing else tells the two apart."""
    for size in (1, 7, len(more)):
        splice = Splice(answer, verify=True)
        said = "".join(splice.feed(more[start : start + size]) for start in range(0, len(more), size))
        assert said + splice.finish() == more


@pytest.mark.parametrize(
    "answer",
    [
        "One two three four five six",
        "the cat sat on the mat, and the dog on the rug",
        "Word for word: word word word word word word word word, and then something else entirely.",
        "1. Red\n2. Green\n3. Blue\n4. Yellow\n5. Orange\n",
    ],
)
def test_a_text_that_starts_over_is_noticed_although_it_repeats_a_word(answer: str) -> None:
    with pytest.raises(StartedOverError):
        Splice(answer, verify=True).feed(answer)


def test_a_monotonous_answer_is_continued_at_a_server_that_continues(colour: Colour) -> None:
    text = "word " * 60

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await model.call(USER)
        assert (completion.text, completion.resumes, completion.retries) == (text, 1, 0)

    with FakeVLLM(text, dialect="llama.cpp", faults=[Fault.cut(1500)]) as server:
        colour.run(body)
