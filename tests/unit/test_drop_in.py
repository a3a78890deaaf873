"""`tframex.OpenAI` and `tframex.AsyncOpenAI` where the official clients are expected."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType, new_class
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
from tframex.errors import ConfigurationError, StreamInterruptedError, WrongLoopError
from tframex.testing import Answer, FakeVLLM, Fault

MESSAGES: Any = USER
TEXT = 'Red, “naïve” and \\ "blue".\n静か \U0001f600'
LONG = " ".join(f"word {number}" for number in range(200))


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
        assert client._tframex.of(str(client.base_url), "fake").server.name == "vllm"
        assert client._tframex.of("http://elsewhere/v1/", "fake").server.name == "unknown"
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


@pytest.mark.parametrize("kind", [openai.OpenAI, tframex.OpenAI])
def test_a_forgotten_client_closes_its_connections_with_its_last_copy(kind: type[openai.OpenAI]) -> None:
    with FakeVLLM(TEXT) as server, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        client = kind(base_url=server.url, api_key="k")
        client.models.list()
        copy = client.with_options(timeout=5)
        del client
        gc.collect()
        copy.models.list()
        assert (server.connections, server.open_connections) == (1, 1)
        del copy
        gc.collect()
        until = time.monotonic() + 2
        while server.open_connections and time.monotonic() < until:
            time.sleep(0.01)
        assert server.open_connections == 0
    assert [str(warning.message) for warning in seen] == []


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


@pytest.mark.parametrize("name", ["__init__", "copy", "with_options"])
@pytest.mark.parametrize(
    ("ours", "official"), [(tframex.OpenAI, openai.OpenAI), (tframex.AsyncOpenAI, openai.AsyncOpenAI)]
)
def test_the_parameters_are_those_of_the_official_client(ours: Any, official: Any, name: str) -> None:
    """By name, order, kind, default and annotation; a new one of openai fails this test."""

    def kinds(parameter: inspect.Parameter) -> set[str]:
        return set(str(parameter.annotation).split(" | "))

    found = dict(inspect.signature(getattr(ours, name)).parameters)
    for own in ("resume", "idle_timeout", "interval"):
        found.pop(own, None)
    wanted = dict(inspect.signature(getattr(official, name)).parameters)
    assert list(found) == list(wanted)
    for key, parameter in wanted.items():
        assert found[key].kind == parameter.kind
        assert kinds(found[key]) == kinds(parameter), key
        assert found[key].default == parameter.default, key


def test_an_unknown_keyword_is_refused_as_by_the_official_client() -> None:
    with pytest.raises(TypeError, match="temperature"):
        tframex.OpenAI(api_key="k", temperature=1)  # type: ignore[call-arg] # refused


def test_with_options_takes_our_settings_too() -> None:
    client = tframex.AsyncOpenAI(base_url="http://h", api_key="k", idle_timeout=5)
    assert client.with_options(idle_timeout=1).copy()._tframex.idle_timeout == 1
    assert client.with_options(idle_timeout=None)._tframex.idle_timeout is None
    assert client.with_options(resume="never")._tframex == replace(client._tframex, resume="never")
    assert client._tframex.idle_timeout == 5


class Both:
    """One body for the drop-in clients of both colours."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._kind: Any = tframex.OpenAI if backend == "sync" else tframex.AsyncOpenAI

    def stream(
        self,
        url: str,
        until: Callable[[Any], bool] | None = None,
        asked: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> list[Any]:
        """The chunks, as far as `until` and with what follows closing the stream there."""
        if self.backend == "sync":
            return self._read(url, until, asked, options)
        return anyio.run(self._read_async, url, until, asked, options, backend=self.backend)

    def _read(self, url: str, until: Any, asked: Any, options: Any) -> list[Any]:
        chunks = []
        with self._kind(base_url=url, api_key="k", **options) as client:
            stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True, **asked)
            for chunk in stream:
                chunks.append(chunk)
                if until is not None and until(chunks):
                    stream.close()
        return chunks

    async def _read_async(self, url: str, until: Any, asked: Any, options: Any) -> list[Any]:
        chunks = []
        async with self._kind(base_url=url, api_key="k", **options) as client:
            stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True, **asked)
            async for chunk in stream:
                chunks.append(chunk)
                if until is not None and until(chunks):
                    await stream.close()
        return chunks

    def leave(self, http_client: Any) -> None:
        """Drop a stream after its first chunk, as garbage collection does: without `close()`."""

        async def body() -> None:
            async with tframex.AsyncOpenAI(base_url="http://h", api_key="k", http_client=http_client) as client:
                stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
                async for _ in stream:
                    break
                iterator: Any = stream._iterator
                await iterator.aclose()

        if self.backend != "sync":
            return anyio.run(body, backend=self.backend)
        with tframex.OpenAI(base_url="http://h", api_key="k", http_client=http_client) as client:
            stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
            for _ in stream:
                break
            iterator: Any = stream._iterator
            iterator.close()
        return None


@pytest.fixture(params=["asyncio", "trio", "sync"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_error_event_keeps_its_body_and_code(both: Both) -> None:
    for fault, partial in ((Fault.error(1500), True), (Fault.error(0), False)):
        with FakeVLLM(TEXT, faults=[fault]) as server, pytest.raises(openai.APIError) as caught:
            both.stream(server.url, resume="never")
        body, code = caught.value.body, caught.value.code
        assert (str(code), caught.value.type) == ("500", "InternalServerError")
        assert isinstance(body, dict)
        assert body["message"].startswith("EngineCore encountered an issue")
        assert isinstance(caught.value, tframex.APIStreamInterruptedError) is partial


@pytest.mark.parametrize(
    "asked",
    [
        {"extra_body": {"grammar": "root ::= [a-z]+"}},
        {"extra_body": {"regex": "[a-z]+"}},
        {"stop": ["END"], "extra_body": {"include_stop_str_in_output": True}},
    ],
)
def test_a_chat_that_could_be_joined_wrongly_is_not_continued(both: Both, asked: dict[str, Any]) -> None:
    """A grammar starts over, and a stop string that the cut divides is not recognised."""
    with FakeVLLM(LONG, faults=[Fault.cut(9000)]) as server:
        with pytest.raises(tframex.APIStreamInterruptedError):
            both.stream(server.url, asked=asked)
        assert len(server.completions()) == 1


def test_a_stream_that_falls_silent_after_text_is_both_a_timeout_and_interrupted(both: Both) -> None:
    with FakeVLLM(TEXT, faults=[Fault.stall(1500)]) as server, pytest.raises(openai.APITimeoutError) as caught:
        both.stream(server.url, resume="never", timeout=0.3)
    assert isinstance(caught.value, tframex.APIStreamTimeoutError)
    assert isinstance(caught.value, StreamInterruptedError)
    assert TEXT.startswith(caught.value.partial)
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)
    with FakeVLLM(TEXT, faults=[Fault.stall(0)]) as server, pytest.raises(openai.APITimeoutError) as caught:
        both.stream(server.url, resume="never", timeout=0.3)
    assert not isinstance(caught.value, StreamInterruptedError)


@pytest.mark.parametrize("fault", [Fault.cut(9000), Fault.error(9000), Fault.stall(9000)])
def test_the_error_of_a_stream_that_broke_survives_pickling_and_copying(both: Both, fault: Fault) -> None:
    """A process pool carries errors so."""
    limit: Any = {"timeout": 0.3} if both.backend == "sync" else {"idle_timeout": 0.3}
    with FakeVLLM(LONG, faults=[fault]) as server, pytest.raises(tframex.APIStreamInterruptedError) as caught:
        both.stream(server.url, resume="never", **limit)
    error = caught.value
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert (type(again), str(again), repr(again)) == (type(error), str(error), repr(error))
        assert (again.partial, again.model_id) == (error.partial, error.model_id)
        assert (again.body, again.code, again.message) == (error.body, error.code, error.message)
        assert again.partial
        assert str(again.request.url) == str(error.request.url)


@pytest.mark.parametrize("fault", [Fault.cut(0), Fault.cut(1500), Fault.end(0), Fault.end(1500), Fault.error(0)])
def test_never_resuming_sends_one_request_and_raises_what_broke(both: Both, fault: Fault) -> None:
    with FakeVLLM(TEXT, faults=[fault]) as server:
        with pytest.raises(openai.APIError) as caught:
            both.stream(server.url, resume="never", max_retries=2)
        assert len(server.requests) == 1
    assert isinstance(caught.value.__cause__, httpx2.TransportError) is (fault.kind == "cut")


def test_thoughts_keep_the_name_of_their_field_after_a_resume(both: Both) -> None:
    event = (
        'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"fake","choices":[{"index":0,"delta":%s,'
        '"finish_reason":%s}]%s}\n\n'
    )
    begun = event % ('{"role":"assistant","content":""}', "null", ',"prompt_token_ids":null')
    begun += event % ('{"reasoning_content":"One thought"}', "null", "")
    rest = event % ('{"reasoning_content":" and more"}', "null", "") + event % ('{"content":"Red"}', '"stop"', "")
    sse = "text/event-stream"
    faults = [Fault.answer(body.encode(), content_type=sse) for body in (begun, f"{rest}data: [DONE]\n\n")]
    with FakeVLLM(faults=faults) as server:
        chunks = both.stream(server.url)
        assert len(server.completions()) == 2
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks]
    assert "".join(filter(None, thoughts)) == "One thought and more"
    assert text_of(chunks) == "Red"


def test_a_stream_that_is_closed_after_it_has_resumed_gives_nothing_more(both: Both) -> None:
    """Neither pieces nor requests."""
    with FakeVLLM(LONG, faults=[Fault.end(3000)]) as server:
        seen = 0

        def resumed(chunks: list[Any]) -> bool:
            nonlocal seen
            if len(server.completions()) == 2 and not seen:
                seen = len(chunks)
                return True
            return False

        chunks = both.stream(server.url, until=resumed)
        assert 0 < seen == len(chunks)
        assert len(server.completions()) == 2


def test_a_stream_that_is_closed_before_it_resumes_sends_nothing_more(both: Both) -> None:
    """The next request would have been sent when the reader asks for the next piece."""
    with FakeVLLM(LONG, faults=[Fault.end(3000)]) as server:
        chunks = both.stream(server.url, until=lambda chunks: len(chunks) == 3)
        assert len(chunks) == 3
        assert len(server.completions()) == 1


class Unclosable(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that begins and cannot be closed."""

    begun = (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"fake","choices":[{"index":0,"delta":'
        b'{"content":"Hi"}}],"prompt_token_ids":null}\n\n'
    )

    def __iter__(self) -> Iterator[bytes]:
        yield self.begun
        yield self.begun

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.begun
        yield self.begun

    def close(self) -> None:
        raise httpx2.CloseError("lost")

    async def aclose(self) -> None:
        raise httpx2.CloseError("lost")


def test_a_connection_that_fails_while_it_is_closed_is_no_break(both: Both) -> None:
    """The reader has left: nothing must be sent for it any more."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, stream=Unclosable(), headers={"content-type": "text/event-stream"})

    requests: list[httpx2.Request] = []
    transport = httpx2.MockTransport(handle)
    http_client = (
        httpx2.Client(transport=transport) if both.backend == "sync" else httpx2.AsyncClient(transport=transport)
    )
    both.leave(http_client)
    assert len(requests) == 1


def test_closing_from_another_task_ends_the_wait_of_a_reader_that_has_resumed(both: Both) -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client, anyio.create_task_group() as group:
            stream = await client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)

            async def read() -> None:
                async for chunk in stream:
                    chunks.append(chunk)

            group.start_soon(read)
            await anyio.to_thread.run_sync(wait_for_the_second_request)
            await stream.close()

    def wait_for_the_second_request() -> None:
        while len(server.completions()) < 2:
            time.sleep(0.01)

    def main() -> None:
        with tframex.OpenAI(base_url=server.url, api_key="k") as client:
            stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
            reader = threading.Thread(target=lambda: chunks.extend(stream))
            reader.start()
            wait_for_the_second_request()
            stream.close()
            reader.join(10)
            assert not reader.is_alive()

    chunks: list[Any] = []
    with FakeVLLM(LONG, faults=[Fault.end(3000), Fault.stall(1500)]) as server:
        if both.backend == "sync":
            main()
        else:
            anyio.run(body, backend=both.backend)
        assert len(server.completions()) == 2


@pytest.mark.parametrize("kind", [openai.OpenAI, tframex.OpenAI])
def test_a_callable_key_serves_a_model(kind: Any) -> None:
    keys = iter(["first", "second"])
    with (
        FakeVLLM(TEXT) as server,
        kind(base_url=server.url, api_key=lambda: next(keys)) as client,
        tframex.sync.VLLMModel.from_client(client, "fake") as model,
    ):
        for _ in range(2):
            assert model.call(USER).text == TEXT
        sent = [request.headers["authorization"] for request in server.completions()]
    assert sent == ["Bearer first", "Bearer second"]


def test_a_copy_with_an_http_client_of_the_user_is_not_translated_for_a_model() -> None:
    with tframex.OpenAI(base_url="http://h", api_key="k") as client, openai.DefaultHttpxClient() as http_client:
        copy = client.with_options(http_client=http_client)
        with pytest.raises(ConfigurationError, match="has its own transport"):
            tframex.VLLMModel.from_client(copy, "fake")
        tframex.VLLMModel.from_client(client.with_options(timeout=3), "fake")


def test_our_client_serves_a_model() -> None:
    with (
        FakeVLLM(TEXT) as server,
        tframex.OpenAI(base_url=server.url, api_key="k") as client,
        tframex.sync.VLLMModel.from_client(client, "fake") as model,
    ):
        assert model.call(USER).text == TEXT


class _Own(openai.BaseModel):
    """What a user may want instead of the official type."""


def _own_stream(base: Any, kind: str) -> Any:
    return {"object": base[object], "model": base[_Own], "subclass": new_class("Mine", (base[_Own],))}[kind]


# The official stream leaves its generators, and those of httpx2, unfinished after the last event; trio complains.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/responses"])
@pytest.mark.parametrize("kind", ["object", "model", "subclass"])
def test_a_stream_of_types_that_the_user_chose_is_the_official_one(both: Both, path: str, kind: str) -> None:
    body = {"model": "fake", "messages": MESSAGES, "prompt": "p", "input": "x", "stream": True, "max_tokens": 99}

    def ask(client: Any) -> Any:
        base: Any = openai.Stream if both.backend == "sync" else openai.AsyncStream
        kinds.append(_own_stream(base, kind))
        return client.post(path, body=body, cast_to=object, stream=True, stream_cls=kinds[-1])

    async def body_async() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            for _ in range(2):
                stream = await ask(client)
                found.append((type(stream), [item async for item in stream]))

    kinds: list[Any] = []
    found: list[Any] = []
    with FakeVLLM(TEXT) as server:
        if both.backend == "sync":
            with tframex.OpenAI(base_url=server.url, api_key="k") as client:
                for _ in range(2):
                    stream = ask(client)
                    found.append((type(stream), list(stream)))
        else:
            anyio.run(body_async, backend=both.backend)
        assert all("return_token_ids" not in record.body for record in server.requests)
    for asked, (stream_type, items) in zip(kinds, found, strict=True):
        assert stream_type is (getattr(asked, "__origin__", None) or asked)
        assert {type(item) for item in items} == {dict if kind == "object" else _Own}
