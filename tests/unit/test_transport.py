"""The default transport fails as the official client's does, and mocks see what goes through it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest import mock

import anyio
import httpcore2
import httpx2
import openai
import pytest
from pytest_httpx2 import HTTPXMock as HTTPX2Mock

import tframex
from tests.conftest import USER

MESSAGES: Any = USER
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
)
BODY = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}'
KEY = "sk-planted-0123456789"
SETTINGS: dict[str, Any] = {"api_key": KEY, "max_retries": 0, "resume": "never"}


@contextmanager
def answering(answer: bytes, *, reset: bool = False) -> Iterator[str]:
    """A server that answers every request with these bytes and closes the connection, or resets it."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def refused() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def fails(url: str, backend: str, kind: type[Any] = tframex.AsyncOpenAI, **options: Any) -> openai.OpenAIError:
    """The error of a streamed chat completion."""

    async def body() -> openai.OpenAIError:
        async with kind(base_url=url, **options) as client:
            with pytest.raises(openai.OpenAIError) as caught:
                stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                [chunk async for chunk in stream]
        return caught.value

    return anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("answer", "reset"),
    [
        (b"", False),
        (b"", True),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 200_000 + b"\r\n\r\n", False),
        (HEAD + b"\r\nnonsense\r\n", False),
        (HEAD + b"\r\n%x\r\n%b\r\n" % (len(EVENT), EVENT), False),
        (HEAD + b"\r\n%x\r\n%b\r\n" % (len(EVENT), EVENT), True),
    ],
    ids=["disconnect", "reset", "no HTTP", "long header", "bad chunk", "cut", "reset in the body"],
)
def test_a_broken_connection_is_a_connection_error_and_no_timeout(answer: bytes, reset: bool, backend: str) -> None:
    with answering(answer, reset=reset) as url:
        error = fails(url, backend, **SETTINGS)
    assert isinstance(error, openai.APIConnectionError)
    assert not isinstance(error, openai.APITimeoutError)
    assert isinstance(error.__cause__, httpx2.TransportError)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("url", ["refused", "http://no-such-host.invalid/v1"])
def test_no_connection_is_a_connection_error_and_no_timeout(url: str, backend: str) -> None:
    error = fails(refused() if url == "refused" else url, backend, **SETTINGS)
    assert type(error) is openai.APIConnectionError
    assert isinstance(error.__cause__, httpx2.ConnectError)


def test_a_timeout_is_still_one() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        error = fails(url, "asyncio", **SETTINGS, timeout=0.2)
    assert type(error) is openai.APITimeoutError
    assert isinstance(error.__cause__, httpx2.ReadTimeout)


def test_the_request_that_an_error_of_aiohttp_carries_does_not_show_the_key() -> None:
    with answering(b"SSH-2.0-OpenSSH_9.9\r\n\r\n") as url:
        error: BaseException | None = fails(url, "asyncio", **SETTINGS)
    while error is not None:
        assert KEY not in f"{error!r} {error} {error.args}"
        error = error.__cause__ or error.__context__


def handles(*_: Any, **__: Any) -> httpx2.Response:
    return httpx2.Response(200, content=BODY, headers={"content-type": "application/json"})


async def handles_async(*_: Any, **__: Any) -> httpx2.Response:
    return handles()


async def core(*_: Any, **__: Any) -> httpcore2.Response:
    return httpcore2.Response(200, headers=[(b"content-type", b"application/json")], content=BODY)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "patch",
    [
        lambda: mock.patch.object(httpx2.AsyncHTTPTransport, "handle_async_request", handles_async),
        lambda: mock.patch.object(httpx2.AsyncHTTPTransport, "handle_async_request", side_effect=handles),
        lambda: mock.patch.object(httpx2.AsyncClient, "_transport_for_url", return_value=httpx2.MockTransport(handles)),
        lambda: mock.patch.object(httpcore2.AsyncConnectionPool, "handle_async_request", core),
    ],
    ids=["transport", "Mock", "client", "pool"],
)
def test_a_mock_of_httpx2_sees_our_requests(patch: Callable[[], Any], backend: str) -> None:
    """As respx and httpx2-pytest install themselves; a client made before is mocked too."""

    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=refused(), **SETTINGS) as client:
            with patch():
                assert (await client.chat.completions.create(model="m", messages=MESSAGES)).id == "c"
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="m", messages=MESSAGES)

    anyio.run(body, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_httpx2_pytest_sees_the_requests_of_a_client_and_of_a_model(httpx2_mock: HTTPX2Mock, backend: str) -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url="http://vllm:8000/v1", **SETTINGS) as client:
            assert (await client.chat.completions.create(model="m", messages=MESSAGES)).id == "c"
        async with tframex.VLLMModel("m", "http://vllm:8000", "k") as model:
            assert await model.call(USER)

    done = EVENT.replace(b'"delta"', b'"finish_reason":"stop","delta"')
    sse = {"content-type": "text/event-stream"}
    httpx2_mock.add_response(content=BODY, headers={"content-type": "application/json"})
    httpx2_mock.add_response(content=done, headers=sse)
    anyio.run(body, backend=backend)
    assert [str(request.url) for request in httpx2_mock.get_requests()] == ["http://vllm:8000/v1/chat/completions"] * 2


def test_the_synchronous_client_is_mocked_as_the_official_one(httpx2_mock: HTTPX2Mock) -> None:
    httpx2_mock.add_response(content=BODY, headers={"content-type": "application/json"})
    with tframex.OpenAI(base_url="http://vllm:8000/v1", **SETTINGS) as client:
        assert client.chat.completions.create(model="m", messages=MESSAGES).id == "c"
