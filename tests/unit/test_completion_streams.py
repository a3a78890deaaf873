"""`client.completions` of `tframex.OpenAI` and `tframex.AsyncOpenAI`: the streams of `/v1/completions`."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai.types import Completion

import tframex
from tests.conftest import ROOT
from tframex.client import AsyncCompletionStream, CompletionStream
from tframex.errors import StreamInterruptedError
from tframex.testing import FakeVLLM, Fault

PROMPT = "The three primary colours are"
TEXT = ' red, “naïve” and \\ "blue".\n静か \U0001f600'
LONG = "".join(f" word {number}" for number in range(200))
ASKED: Any = {"model": "fake", "prompt": PROMPT, "max_tokens": 1000, "stream": True}
SSE = "text/event-stream"
CAPTURED = sorted((ROOT / "tests" / "data").glob("*-completion*.txt"))
NOTHING: dict[str, Any] = {}


class Reader:
    """Reads the chunks of streams with one drop-in client of one colour."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._kind: Any = tframex.OpenAI if backend == "sync" else tframex.AsyncOpenAI

    def read(self, url: str, *asks: dict[str, Any], **options: Any) -> list[Any]:
        """The chunks of the last of some requests with the same client; those of the others are dropped."""
        self.seen: list[Any] = []
        if self.backend == "sync":
            with self._kind(base_url=url, api_key="k", **options) as client:
                for asked in asks or (NOTHING,):
                    self.seen.clear()
                    for chunk in client.completions.create(**{**ASKED, **asked}):
                        self.seen.append(chunk)
        else:
            anyio.run(self._read, url, asks, options, backend=self.backend)
        return self.seen

    async def _read(self, url: str, asks: Any, options: Any) -> None:
        async with self._kind(base_url=url, api_key="k", **options) as client:
            for asked in asks or (NOTHING,):
                self.seen.clear()
                async for chunk in await client.completions.create(**{**ASKED, **asked}):
                    self.seen.append(chunk)


@pytest.fixture(params=["asyncio", "trio", "sync"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return Reader(request.param)


def text_of(chunks: list[Any]) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == 0)


# -- the objects -------------------------------------------------------------------------------------------------------


def assert_same(server: FakeVLLM, **asked: Any) -> list[Any]:
    found: list[list[Any]] = []
    for kind in (openai.OpenAI, tframex.OpenAI):
        with kind(base_url=server.url, api_key="k") as client:
            found.append(list(client.completions.create(**{**ASKED, **asked})))
    official, ours = found
    assert all(type(chunk) is Completion for chunk in ours)
    assert [chunk.model_dump() for chunk in ours] == [chunk.model_dump() for chunk in official]
    assert [chunk.to_json() for chunk in ours] == [chunk.to_json() for chunk in official]
    for mine, theirs in zip(ours, official, strict=True):
        assert mine == theirs
        for one, other in ((mine, theirs), *zip(mine.choices, theirs.choices, strict=True)):
            assert list(vars(one)) == list(vars(other))
            assert one.model_fields_set == other.model_fields_set
            assert one.__pydantic_extra__ == other.__pydantic_extra__
    return ours


@pytest.mark.parametrize("dialect", ["vllm", "openai"])
@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": True}}, {"n": 2}, {"echo": True}])
def test_the_chunks_are_those_of_the_official_client(dialect: Any, asked: dict[str, Any]) -> None:
    """Field by field, unknown fields included."""
    with FakeVLLM(TEXT, dialect=dialect) as server:
        assert TEXT in text_of(assert_same(server, **asked))


def test_the_ids_of_tokens_are_in_the_chunks_of_whoever_asks_for_them() -> None:
    with FakeVLLM(TEXT) as server:
        chunks = assert_same(server, extra_body={"return_token_ids": True})
    ids = [chunk.choices[0].token_ids for chunk in chunks]
    assert all(len(numbers) == 1 for numbers in ids)
    assert len({id(numbers) for numbers in ids}) == len(ids)


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_captured_bytes_give_the_chunks_of_the_official_client(path: Any) -> None:
    """VLLM and llama.cpp."""
    with FakeVLLM(faults=[Fault.answer(path.read_bytes(), content_type=SSE)] * 2) as server:
        assert text_of(assert_same(server)).startswith(" the primary colours")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"text":" word"', b'"text":"\\u0041 \\"x\\" \\\\ \\n"'),
        (b'"text":" word"', b'"text":"\xf0\x9f\x98\x80"'),
        (b'"text":" word"', b'"text":""'),
        (b'"text":" word"', b'"text":null'),
        (b'"created":1795342942', b'"created":1795342943'),
        (b'"token_ids":null', b'"token_ids":[1,2]'),
        (b'"stop_reason":null', b'"stop_reason":"x","text":"twice"'),
        (b'"index":0', b'"index":0,"novelty":[1]'),
    ],
)
def test_chunks_that_differ_in_more_than_plain_text_are_those_of_the_official_client(old: bytes, new: bytes) -> None:
    """Once in the middle, and from there on."""
    with FakeVLLM(LONG) as server:
        body = httpx2.post(f"{server.url}/completions", json=ASKED, timeout=30).content
        half = body.index(b"data: ", 5000)
        for odd in (body[:half] + body[half:].replace(old, new, 1), body[:half] + body[half:].replace(old, new)):
            server.faults += [Fault.answer(odd, content_type=SSE)] * 2
            assert_same(server)


def test_a_stream_has_what_the_official_one_has() -> None:
    with FakeVLLM(TEXT) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.completions.create(**ASKED)
        assert isinstance(stream, CompletionStream)
        assert isinstance(stream, openai.Stream)
        with stream as same:
            assert next(same).choices[0].text == " red"
            assert next(iter(same)).choices[0].text == ","
        assert list(stream) == []
        with client.completions.with_streaming_response.create(**ASKED) as response:
            assert text_of(list(response.parse())) == TEXT
        raw = client.completions.with_raw_response.create(**ASKED)
        assert text_of(list(raw.parse())) == TEXT


def test_an_asynchronous_stream_has_what_the_official_one_has() -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            stream: Any = await client.completions.create(**ASKED)
            assert isinstance(stream, AsyncCompletionStream)
            async with stream as same:
                assert (await same.__anext__()).choices[0].text == " word"
            await stream.aclose() if hasattr(stream, "aclose") else await stream.close()

    with FakeVLLM(LONG, delay=0.005) as server:
        anyio.run(body)
        deadline = time.monotonic() + 10
        while server.requests[0].hung_up is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.requests[0].hung_up is not None


# -- complete or an error ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.end(2500), Fault.cut(2500), Fault.garbage(2500), Fault.error(2500)])
def test_never_resuming_is_an_error_that_both_libraries_know(reader: Reader, fault: Fault) -> None:
    with FakeVLLM(LONG, faults=[fault]) as server:
        with pytest.raises(openai.APIConnectionError) as caught:
            reader.read(server.url, resume="never", max_retries=2)
        assert len(server.requests) == 1
    assert isinstance(caught.value, tframex.APIStreamInterruptedError)
    assert caught.value.partial == text_of(reader.seen)
    assert caught.value.partial


def test_an_answer_of_which_one_choice_is_not_finished_is_truncated(reader: Reader) -> None:
    with FakeVLLM(TEXT) as server:
        body = httpx2.post(f"{server.url}/completions", json={**ASKED, "n": 2}, timeout=30).content
        last = body.rindex(b"data: {")
        for odd in (body[:last], body[:last] + b"data: [DONE]\n\n"):
            server.faults.append(Fault.answer(odd, content_type=SSE))
            with pytest.raises(StreamInterruptedError):
                reader.read(server.url, {"n": 2})


@pytest.mark.usefixtures("no_wait")
def test_a_stream_that_breaks_before_its_first_chunk_is_asked_for_again(reader: Reader) -> None:
    with FakeVLLM(LONG, faults=[Fault.cut(0), Fault.end(0)]) as server:
        assert text_of(reader.read(server.url)) == LONG
        assert [record.body["prompt"] for record in server.completions()] == [PROMPT] * 3


def test_a_stream_that_falls_silent_is_a_timeout(reader: Reader) -> None:
    options: Any = {"timeout": 0.3} if reader.backend == "sync" else {"idle_timeout": 0.3}
    with FakeVLLM(LONG, faults=[Fault.stall(2500)]) as server, pytest.raises(openai.APITimeoutError) as caught:
        reader.read(server.url, resume="never", **options)
    assert isinstance(caught.value, tframex.APIStreamTimeoutError)


# -- continued ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("kind", ["cut", "end", "error", "garbage"])
def test_a_stream_is_continued_from_exactly_its_tokens(reader: Reader, kind: str) -> None:
    """Once it is known that the endpoint has them; the first stream tells."""
    for at in (900, 2500, 9000, 20000):
        with FakeVLLM(LONG, faults=[None, getattr(Fault, kind)(at)]) as server:
            chunks = reader.read(server.url, {}, {"stream_options": {"include_usage": True}})
            assert text_of(chunks) == LONG
            _, first, second = server.completions()
            assert first.body["return_token_ids"] is True
            prompt, received = second.body["prompt"][: chunks[-1].usage.prompt_tokens], second.body["prompt"]
            assert all(isinstance(number, int) for number in received)
            spent = len(received) - len(server._engine.vocabulary.ids(PROMPT))
            assert prompt[: len(received) - spent] == server._engine.vocabulary.ids(PROMPT)
            assert second.body["max_tokens"] == 1000 - spent
            # What the server has generated beyond that was lost on the way.
            assert chunks[-1].usage.completion_tokens == spent + second.tokens
            assert {chunk.id for chunk in chunks} == {chunks[0].id}
            assert {chunk.object for chunk in chunks} == {"text_completion"}
            assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


@pytest.mark.usefixtures("no_wait")
def test_a_stream_is_continued_as_often_as_it_breaks(reader: Reader) -> None:
    faults = [None, Fault.cut(9000), Fault.end(9000), Fault.busy(503), Fault.cut(9000)]
    with FakeVLLM(LONG, faults=faults) as server:
        assert text_of(reader.read(server.url, {}, {})) == LONG
        assert len(server.completions()) == 6


@pytest.mark.usefixtures("no_wait")
def test_the_first_stream_is_continued_with_its_text(reader: Reader) -> None:
    """Its tokens are not known: the endpoint was not known to have them."""
    with FakeVLLM(LONG, faults=[Fault.cut(9000)]) as server:
        assert text_of(reader.read(server.url)) == LONG
        first, second = server.completions()
        assert second.body["prompt"].startswith(f"{PROMPT} word 0 word 1")
        assert second.body["max_tokens"] < first.body["max_tokens"]


@pytest.mark.usefixtures("no_wait")
def test_an_answer_that_lacks_nothing_but_its_finish_reason_is_not_asked_for(reader: Reader) -> None:
    with FakeVLLM(LONG) as server:
        asked = {**ASKED, "max_tokens": 20, "return_token_ids": True}
        body = httpx2.post(f"{server.url}/completions", json=asked, timeout=30).content
        cut = body.replace(b'"finish_reason":"length"', b'"finish_reason":null').replace(b"data: [DONE]\n\n", b"")
        server.faults += [None, Fault.answer(cut, content_type=SSE)]
        chunks = reader.read(server.url, {}, {"max_tokens": 20})
        assert chunks[-1].choices[0].finish_reason == "length"
        assert chunks[-1].choices[0].text == ""
        assert len(server.completions()) == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"echo": True},
        {"suffix": "the end"},
        {"n": 2},
        {"best_of": 2},
        {"logprobs": 0},
        {"prompt": ["one", "two"]},
        {"prompt": [[1, 2], [3]]},
        {"max_tokens": openai.omit},
        {"extra_body": {"truncate_prompt_tokens": 5}},
        {"extra_body": {"structured_outputs": {"regex": "a+"}}},
        {"extra_body": {"grammar": "root ::= [a-z]+"}},
        {"extra_body": {"json_schema": {"type": "object"}}},
        {"extra_body": {"include_stop_str_in_output": True}, "stop": ["END"]},
    ],
    ids=lambda asked: next(iter(asked.get("extra_body", asked))),
)
def test_what_could_be_joined_wrongly_is_not_continued(reader: Reader, asked: dict[str, Any]) -> None:
    with FakeVLLM(LONG) as server:
        body = httpx2.post(f"{server.url}/completions", json=ASKED, timeout=30).content
        server.faults += [None, Fault.answer(body[:5000], content_type=SSE)]
        server.requests.clear()
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url, {}, asked)
        assert len(server.requests) == 2
        assert "return_token_ids" not in server.requests[1].body


@pytest.mark.usefixtures("no_wait")
def test_a_prompt_of_token_ids_is_continued_only_from_token_ids(reader: Reader) -> None:
    with FakeVLLM(LONG, faults=[None, None, Fault.cut(9000)]) as server:
        reader.read(server.url)
        ids = {"prompt": server._engine.vocabulary.ids(PROMPT)}
        # The fake knows the prompt by its text.
        assert text_of(reader.read(server.url, {}, ids)) == LONG
        assert len(server.completions()) == 4
        server.faults.append(Fault.cut(9000))
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url, ids)


def test_with_stop_strings_the_text_is_continued(reader: Reader) -> None:
    """The server holds text back whose tokens it has reported."""
    with FakeVLLM(LONG, faults=[None, Fault.cut(9000)]) as server:
        assert text_of(reader.read(server.url, {}, {"stop": ["nothing of it"]})) == LONG
        assert "return_token_ids" not in server.completions()[1].body
        assert isinstance(server.completions()[2].body["prompt"], str)


def test_an_endpoint_that_cannot_continue_is_not_asked(reader: Reader) -> None:
    with FakeVLLM(LONG, dialect="openai", faults=[None, Fault.cut(9000)]) as server:
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url, {}, {})
        assert len(server.completions()) == 2


@pytest.mark.usefixtures("no_wait")
def test_a_gateway_that_refuses_the_wish_for_token_ids_is_asked_without_it(reader: Reader) -> None:
    message = b'{"error":{"message":"Unrecognized request argument supplied: return_token_ids","code":400}}'
    with FakeVLLM(LONG, faults=[None, Fault.answer(message, status=400)]) as server:
        assert text_of(reader.read(server.url, {}, {}, {})) == LONG
        assert ["return_token_ids" in record.body for record in server.completions()] == [False, True, False, False]
        server.faults += [None, Fault.answer(b'{"error":{"message":"no","code":400}}', status=400)]
        with pytest.raises(openai.BadRequestError, match="no"):
            reader.read(server.url, {}, {})


@pytest.mark.usefixtures("no_wait")
def test_a_continued_request_keeps_headers_and_options(reader: Reader) -> None:
    asked = {
        "temperature": 0.5,
        "seed": 7,
        "extra_headers": {"x-trace": "1", "Idempotency-Key": "once"},
        "extra_body": {"top_k": 3, "min_tokens": 400},
    }
    with FakeVLLM(LONG, faults=[None, Fault.end(9000)]) as server:
        assert text_of(reader.read(server.url, {}, asked)) == LONG
        _, first, second = server.completions()
    assert second.headers["x-trace"] == first.headers["x-trace"] == "1"
    assert "idempotency-key" not in second.headers
    assert (second.body["top_k"], second.body["temperature"], second.body["seed"]) == (3, 0.5, 7)
    assert second.body["min_tokens"] < 400
    assert json.dumps(first.body["prompt"]) == json.dumps(PROMPT)


# -- at an interval ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [True, False])
def test_the_text_of_an_interval_is_one_chunk(reader: Reader, ids: bool) -> None:
    asked = {"extra_body": {"return_token_ids": True}, "stream_options": {"include_usage": True}} if ids else {}
    with FakeVLLM(LONG, delay=0.001) as server:
        every, few = reader.read(server.url, asked), reader.read(server.url, asked, interval=0.2)
    assert text_of(few) == text_of(every) == LONG
    assert len(few) < len(every) / 4
    assert [chunk.choices[0].finish_reason for chunk in few if chunk.choices][-1] == "stop"
    if ids:
        numbers = [
            [number for chunk in chunks for c in chunk.choices for number in c.token_ids] for chunks in (every, few)
        ]
        assert numbers[0] == numbers[1]
        assert few[-1].usage == every[-1].usage


def test_usage_in_every_chunk_grows_through_a_resume(reader: Reader) -> None:
    """As vLLM sends it with `continuous_usage_stats`, whose chunks a slow reader gets many of in one read."""

    def chunk(number: int, counted: int, prompt: int, finish: str | None = None) -> bytes:
        usage = {"prompt_tokens": prompt, "completion_tokens": counted, "total_tokens": prompt + counted}
        choice = {"index": 0, "text": f" w{number}", "logprobs": None, "finish_reason": finish}
        body = {
            "id": "c",
            "object": "text_completion",
            "created": 1,
            "model": "fake",
            "choices": [choice],
            "usage": usage,
        }
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    first = b"".join(chunk(number, number + 1, 5) for number in range(3))
    second = b"".join(chunk(number + 3, number + 1, 8, "length" if number == 3 else None) for number in range(4))
    faults = [Fault.answer(body, content_type=SSE) for body in (first, second + b"data: [DONE]\n\n")]
    with FakeVLLM(faults=faults) as server:
        chunks = reader.read(server.url)
    assert text_of(chunks) == " w0 w1 w2 w3 w4 w5 w6"
    assert [chunk.usage.completion_tokens for chunk in chunks] == [1, 2, 3, 4, 5, 6, 7]
