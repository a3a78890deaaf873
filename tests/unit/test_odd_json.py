"""JSON that Python reads and msgspec refuses: numbers that are none, and halves of characters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import anyio
import openai
import pytest

import tframex
from tests.conftest import USER, Colour
from tframex.errors import ResponseFormatError, StreamInterruptedError
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault

SSE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
# Half of a character is what a gateway sends that cuts text as JavaScript counts it.
FACE = "\U0001f600"
HIGH, LOW = "\ud83d", "\ude00"


def events(*bodies: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)


def chat(content: str, finish: str | None = None, number: float = -0.5) -> dict[str, Any]:
    token = {"token": "t", "logprob": number, "bytes": None, "top_logprobs": []}
    logprobs: dict[str, Any] = {"content": [token], "refusal": None}
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish, "logprobs": logprobs}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [choice]}


def text(content: str, finish: str | None = None, number: float = -0.5) -> dict[str, Any]:
    logprobs: dict[str, Any] = {"tokens": ["t"], "token_logprobs": [number], "top_logprobs": None, "text_offset": [0]}
    choice = {"index": 0, "text": content, "finish_reason": finish, "logprobs": logprobs}
    return {"id": "c", "object": "text_completion", "created": 1, "model": "fake", "choices": [choice]}


ODD: dict[str, list[tuple[str, float]]] = {
    "infinity": [("Red", -1), (" and", -math.inf), (" blue", -1)],
    "halves": [("Red ", -1), (HIGH, -1), (f"{LOW} and", -1), (" blue", -1)],
    "lone": [("Red", -1), (HIGH, -1), (" and", -1), (f"x{LOW}x", -1), (HIGH, -1)],
}
READ = {"infinity": "Red and blue", "halves": f"Red {FACE} and blue", "lone": "Red andx\ufffdx\ufffd"}
APIS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "chat": (chat, lambda client: client.chat.completions.create(model="fake", messages=USER, stream=True)),
    "text": (text, lambda client: client.completions.create(model="fake", prompt="p", stream=True, max_tokens=9)),
}


def body_of(make: Callable[..., Any], odd: str) -> bytes:
    *most, (last, number) = ODD[odd]
    return events(*(make(word, None, value) for word, value in most), make(last, "stop", number)) + DONE


async def drained(client: Any, ask: Callable[[Any], Any]) -> list[Any]:
    return [chunk async for chunk in await ask(client)]


def read(backend: str, url: str, ask: Callable[[Any], Any], **options: Any) -> list[Any]:
    if backend == "sync":
        with tframex.OpenAI(base_url=url, api_key="k", **options) as client:
            return list(ask(client))

    async def main() -> list[Any]:
        async with tframex.AsyncOpenAI(base_url=url, api_key="k", **options) as client:
            return await drained(client, ask)

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("odd", ODD)
def test_a_client_hands_out_what_the_official_one_reads(backend: str, api: str, odd: str) -> None:
    make, ask = APIS[api]
    with FakeVLLM(faults=[Fault.answer(body_of(make, odd), content_type=SSE)] * 2) as server:
        with openai.OpenAI(base_url=server.url, api_key="k") as client:
            official = list(ask(client))
        ours = read(backend, server.url, ask)
        assert len(server.completions()) == 2
    assert [repr(chunk) for chunk in ours] == [repr(chunk) for chunk in official]


@pytest.mark.parametrize("odd", ODD)
def test_a_model_reads_numbers_that_are_none_and_puts_characters_together(colour: Colour, odd: str) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await model.call(USER)
        assert completion.text == READ[odd]
        assert completion.text.encode()
        assert [each["logprob"] for each in completion.choices[0].logprobs] == [number for _, number in ODD[odd]]

    with FakeVLLM(faults=[Fault.answer(body_of(chat, odd), content_type=SSE)]) as server:
        colour.run(body)
        assert len(server.completions()) == 1


@pytest.mark.usefixtures("no_wait")
def test_an_answer_with_such_numbers_is_continued_and_one_with_half_a_character_is_not(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            server.faults += [None, Fault.answer(events(chat("Red", None, -math.inf)), content_type=SSE)]
            await model.call(USER)
            pieces = [piece async for piece in model.call_stream(USER)]
            assert "".join(pieces) == "Red and blue"
            server.faults += [Fault.answer(events(chat("Red"), chat(HIGH)), content_type=SSE)]
            with pytest.raises(StreamInterruptedError) as caught:
                [piece async for piece in model.call_stream(USER)]
            assert caught.value.partial == "Red"

    with FakeVLLM("Red and blue") as server:
        colour.run(body)
        assert len(server.completions()) == 4


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
@pytest.mark.parametrize("api", APIS)
def test_an_event_that_cannot_be_read_says_so_and_not_that_the_url_is_wrong(backend: str, api: str) -> None:
    make, ask = APIS[api]
    odd = events(make("Red")) + b"data: {not json\n\n"
    fault = Fault.answer(odd, content_type=SSE)
    with FakeVLLM(faults=[fault]) as server, pytest.raises(tframex.APIStreamInterruptedError) as caught:
        read(backend, server.url, ask, resume="never")
    assert isinstance(caught.value.__cause__, (ValueError, ResponseFormatError))
    assert "cannot be read" in str(caught.value)
    assert "API_URL" not in str(caught.value)
    assert caught.value.partial == "Red"


def test_a_page_in_place_of_a_text_completion_is_called_that() -> None:
    _, ask = APIS["text"]
    with (
        FakeVLLM(faults=[Fault.html()]) as server,
        pytest.raises(openai.APIError, match="not a text completion stream"),
    ):
        read("sync", server.url, ask, resume="never")


# -- the Responses API -------------------------------------------------------------------------------------------------

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "fake",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "status": "in_progress",
}


def created(number: int = 0) -> dict[str, Any]:
    return {"type": "response.created", "sequence_number": number, "response": RESPONSE}


def delta(number: int, said: str, logprob: float = -0.5) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": said,
        "logprobs": [{"token": "t", "logprob": logprob, "top_logprobs": []}],
        "sequence_number": number,
    }


def completed(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "response.completed",
        "sequence_number": number,
        "response": {**RESPONSE, "status": "completed", **more},
    }


def respond(client: Any) -> Any:
    return client.responses.create(model="fake", input="x", stream=True)


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
@pytest.mark.parametrize("odd", ODD)
def test_a_client_hands_out_the_events_that_the_official_one_reads(backend: str, odd: str) -> None:
    deltas = [delta(number, said, logprob) for number, (said, logprob) in enumerate(ODD[odd], 1)]
    answer = Fault.answer(events(created(), *deltas, completed(len(deltas) + 1)), content_type=SSE)
    with FakeVLLM(faults=[answer] * 2) as server:
        with openai.OpenAI(base_url=server.url, api_key="k") as client:
            official = list(respond(client))
        ours = read(backend, server.url, respond)
    assert [repr(event) for event in ours] == [repr(event) for event in official]


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
def test_an_event_of_a_response_that_cannot_be_read_says_so(backend: str) -> None:
    fault = Fault.answer(events(created(), delta(1, "Red")) + b"data: {not json\n\n", content_type=SSE)
    with FakeVLLM(faults=[fault]) as server, pytest.raises(tframex.APIStreamInterruptedError) as caught:
        read(backend, server.url, respond, resume="never")
    assert "cannot be read" in str(caught.value)
    assert "API_URL" not in str(caught.value)
    assert caught.value.partial == "Red"


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
def test_the_last_event_of_a_response_may_have_images_in_it(backend: str) -> None:
    """It repeats the complete output, each image as base64: more than any event of a chat."""
    image = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "A" * (17 << 20)}
    fault = Fault.answer(events(created(), completed(1, output=[image])), content_type=SSE)
    with FakeVLLM(faults=[fault]) as server:
        seen = read(backend, server.url, respond)
    assert len(seen[-1].response.output[0].result) == 17 << 20
