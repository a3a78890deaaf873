"""`tframex.OpenAI` and `tframex.AsyncOpenAI` where the official clients are expected."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import openai
import pytest
import trio
from openai.types.chat import ChatCompletionChunk

import tframex
from tests.conftest import USER
from tframex.client import AsyncChatStream, ChatStream
from tframex.errors import ConfigurationError, WrongLoopError
from tframex.testing import Answer, FakeVLLM, Fault

MESSAGES: Any = USER
TEXT = 'Red, “naïve” and \\ "blue".\n静か \U0001f600'


def test_the_chunks_are_those_of_the_official_client() -> None:
    """Field by field, unknown fields included."""
    with FakeVLLM(Answer(TEXT, "A thought")) as server:
        found = []
        for kind in (openai.OpenAI, tframex.OpenAI):
            with kind(base_url=server.url, api_key="k") as client:
                stream = client.chat.completions.create(
                    model="fake", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
                )
                found.append(list(stream))
    official, ours = found
    assert all(type(chunk) is ChatCompletionChunk for chunk in ours)
    assert [chunk.model_dump() for chunk in ours] == [chunk.model_dump() for chunk in official]
    assert [chunk.to_json() for chunk in ours] == [chunk.to_json() for chunk in official]


def test_a_chunk_that_does_not_validate_is_constructed_as_the_official_client_would() -> None:
    body = (
        b'data: {"id":"c","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":'
        b'{"content":"Hi"},"finish_reason":"eos_token"}]}\n\ndata: [DONE]\n\n'
    )
    faults = [Fault.answer(body, content_type="text/event-stream")] * 2
    with FakeVLLM(faults=faults) as server:
        chunks = []
        for kind in (openai.OpenAI, tframex.OpenAI):
            with kind(base_url=server.url, api_key="k") as client:
                chunks.append(list(client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)))
    assert chunks[0] == chunks[1]
    assert str(chunks[1][0].choices[0].finish_reason) == "eos_token"


def test_a_sync_stream_has_what_the_official_one_has() -> None:
    with FakeVLLM(TEXT) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
        assert isinstance(stream, ChatStream)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        with stream as same:
            assert next(same).choices[0].delta.role == "assistant"
            assert next(iter(same)).choices[0].delta.content == "Red"
        assert list(stream) == []
        with client.chat.completions.with_streaming_response.create(
            model="fake", messages=MESSAGES, stream=True
        ) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert "".join(c.choices[0].delta.content or "" for c in response.parse()) == TEXT
        raw = client.chat.completions.with_raw_response.create(model="fake", messages=MESSAGES, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in raw.parse()) == TEXT
        with client.chat.completions.stream(model="fake", messages=MESSAGES) as helper:
            assert helper.get_final_completion().choices[0].message.content == TEXT


def test_an_async_stream_has_what_the_official_one_has() -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
            assert isinstance(stream, AsyncChatStream)
            assert isinstance(stream, openai.AsyncStream)
            async with stream as same:
                assert (await same.__anext__()).choices[0].delta.role == "assistant"
            await stream.close()
            async with client.chat.completions.with_streaming_response.create(
                model="fake", messages=MESSAGES, stream=True
            ) as response:
                chunks = [chunk async for chunk in await response.parse()]
                assert "".join(c.choices[0].delta.content or "" for c in chunks) == TEXT
            async with client.chat.completions.stream(model="fake", messages=MESSAGES) as helper:
                assert (await helper.get_final_completion()).choices[0].message.content == TEXT

    with FakeVLLM(TEXT) as server:
        anyio.run(body)


def test_copies_keep_our_settings_and_what_was_learned() -> None:
    with FakeVLLM(TEXT) as server, tframex.OpenAI(base_url=server.url, api_key="k", resume="never") as client:
        copy = client.with_options(timeout=5).copy(max_retries=7)
        assert type(copy) is tframex.OpenAI
        assert copy._tframex is client._tframex
        assert (copy.max_retries, copy._tframex.resume) == (7, "never")
        list(copy.chat.completions.create(model="fake", messages=MESSAGES, stream=True))
        assert client._tframex.of(str(client.base_url), "fake").abilities.kind == "vllm"
        assert client._tframex.of("http://elsewhere/v1/", "fake").abilities.kind == "unknown"
        assert client.with_options(resume="auto")._tframex.resume == "auto"
        assert [model.id for model in client.models.list()] == ["fake"]
    with pytest.raises(ConfigurationError, match="resume"):
        tframex.OpenAI(base_url="http://h", api_key="k", resume="maybe")  # type: ignore[arg-type] # refused


def test_a_stream_behind_a_raw_response_is_continued_too() -> None:
    with FakeVLLM(TEXT, faults=[Fault.end(1500)]) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        raw = client.chat.completions.with_raw_response.create(model="fake", messages=MESSAGES, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse()) == TEXT
        assert len(server.completions()) == 2


def test_a_continued_request_keeps_headers_and_options() -> None:
    with FakeVLLM(TEXT, faults=[Fault.end(1500)]) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.chat.completions.create(
            model="fake",
            messages=MESSAGES,
            stream=True,
            temperature=0.5,
            extra_headers={"x-trace": "1"},
            extra_body={"top_k": 3},
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
        first, second = server.requests
        assert second.headers["x-trace"] == first.headers["x-trace"] == "1"
        assert (second.body["top_k"], second.body["temperature"]) == (3, 0.5)
        assert second.body["continue_final_message"] is True


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.error(0), openai.APIError),
        (Fault.busy(429), openai.RateLimitError),
        (Fault.busy(503), openai.InternalServerError),
        (Fault.answer(b'{"error":"Unauthorized"}', status=401), openai.AuthenticationError),
        (Fault.html(), openai.APIConnectionError),
    ],
)
def test_errors_are_those_a_user_of_openai_catches(fault: Fault, error: type[Exception]) -> None:
    with (
        FakeVLLM(faults=[fault]) as server,
        tframex.OpenAI(base_url=server.url, api_key="k", max_retries=0) as client,
        pytest.raises(error),
    ):
        list(client.chat.completions.create(model="fake", messages=MESSAGES, stream=True))


def test_a_silent_stream_is_noticed_by_the_async_client() -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k", idle_timeout=0.2, resume="never") as client:
            stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
            with pytest.raises(openai.APIConnectionError):
                [chunk async for chunk in stream]

    with FakeVLLM(TEXT, faults=[Fault.stall(1500)]) as server:
        anyio.run(body)


def test_a_stream_of_nothing_but_comments_is_noticed_by_the_sync_client() -> None:
    """They keep the transport's own limit from passing."""
    with FakeVLLM(TEXT) as server:
        asked = {"model": "fake", "messages": MESSAGES, "stream": True}
        body = httpx2.post(f"{server.url}/chat/completions", json=asked).content
        server.faults.append(Fault.comments(body.rfind(b"\n\n", 0, len(body) // 2) + 2))
        with tframex.OpenAI(base_url=server.url, api_key="k", timeout=0.3) as client:
            stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TEXT
        assert len(server.completions()) == 3


def test_one_client_works_in_one_loop_after_the_other_and_may_be_forgotten() -> None:
    async def body() -> None:
        stream = await clients[0].chat.completions.create(model="fake", messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]

    with FakeVLLM(TEXT) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        clients = [tframex.AsyncOpenAI(base_url=server.url, api_key="k")]
        asyncio.run(body())
        trio.run(body)
        asyncio.run(body())
        clients.clear()
        gc.collect()
        until = time.monotonic() + 2
        while server.open_connections and time.monotonic() < until:
            time.sleep(0.01)
        assert server.open_connections == 0


def test_a_client_is_refused_in_a_second_live_loop() -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client:

            async def call() -> None:
                await client.models.list()

            await call()
            with pytest.raises(WrongLoopError, match="another event loop"):
                await anyio.to_thread.run_sync(anyio.run, call)

    with FakeVLLM(TEXT) as server:
        anyio.run(body)


def test_a_stream_that_is_closed_from_another_thread_ends_and_sends_nothing_more() -> None:
    with FakeVLLM("word " * 300, delay=0.01) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
        next(stream)
        reader = threading.Thread(target=lambda: list(stream))
        reader.start()
        time.sleep(0.1)
        stream.close()
        reader.join(10)
        assert not reader.is_alive()
        assert len(server.completions()) == 1


def test_a_continued_stream_reports_what_all_requests_spent() -> None:
    with FakeVLLM(TEXT, faults=[Fault.end(1500)]) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.chat.completions.create(
            model="fake", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        usage = list(stream)[-1].usage
        assert usage is not None
        assert usage.completion_tokens == server.tokens


def test_a_body_that_a_hook_has_read_is_read_again() -> None:
    def read(response: Any) -> None:
        response.read()

    with (
        FakeVLLM(TEXT) as server,
        openai.DefaultHttpxClient(event_hooks={"response": [read]}) as http_client,
        tframex.OpenAI(base_url=server.url, api_key="k", http_client=http_client) as client,
    ):
        stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


def test_our_client_serves_a_model() -> None:
    with (
        FakeVLLM(TEXT) as server,
        tframex.OpenAI(base_url=server.url, api_key="k") as client,
        tframex.sync.VLLMModel.from_client(client, "fake") as model,
    ):
        assert model.call(USER).text == TEXT
