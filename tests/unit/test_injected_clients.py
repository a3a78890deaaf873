"""Clients of the user's own, mocked as users mock them."""

from __future__ import annotations

import json

import anyio
import httpx
import httpx2
import pytest
from pytest_httpx import HTTPXMock, IteratorStream
from pytest_httpx2 import HTTPXMock as HTTPX2Mock

from tests.conftest import USER
from tframex.errors import ModelConnectionError, StreamInterruptedError
from tframex.model import VLLMModel

EVENTS = [
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"smol","choices":[{"index":0,"delta":{"role":'
    b'"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null,"prompt_text":null}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"smol","choices":[{"index":0,"delta":{"content":'
    b'"1"},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"smol","choices":[{"index":0,"delta":{"content":'
    b'" but"},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"smol","choices":[],"usage":{"prompt_tokens":34,'
    b'"total_tokens":46,"completion_tokens":12},"system_fingerprint":"vllm-0.32.0-5bcc8d6b"}\n\n',
    b"data: [DONE]\n\n",
]
# The annotation of `http_client` names httpx2 alone, since tframex does not depend on httpx; the official client takes
# both. Hence the ignored argument types below.
SSE = {"content-type": "text/event-stream; charset=utf-8"}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_injected_httpx_client_carries_the_requests_and_stays_open(httpx_mock: HTTPXMock, backend: str) -> None:
    async def body() -> None:
        async with httpx.AsyncClient(headers={"x-mine": "1"}) as client:
            async with VLLMModel("smol", "http://vllm:8000", "k", http_client=client) as model:  # type: ignore[arg-type] # see above
                completion = await model.call(USER)
            assert not client.is_closed
        assert (completion.text, completion.finish_reason) == ("1 but", "length")
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 12

    httpx_mock.add_response(url="http://vllm:8000/v1/chat/completions", stream=IteratorStream(EVENTS), headers=SSE)
    anyio.run(body, backend=backend)
    request = httpx_mock.get_requests()[0]
    assert request.headers["x-mine"] == "1"
    assert json.loads(request.content)["messages"] == USER


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_injected_httpx2_client_is_mocked_as_usual(httpx2_mock: HTTPX2Mock, backend: str) -> None:
    async def body() -> None:
        async with (
            httpx2.AsyncClient() as client,
            VLLMModel("smol", "http://vllm:8000", "k", http_client=client) as model,
        ):
            assert "".join([piece async for piece in model.call_stream(USER)]) == "1 but"

    httpx2_mock.add_response(url="http://vllm:8000/v1/chat/completions", content=b"".join(EVENTS), headers=SSE)
    anyio.run(body, backend=backend)


@pytest.mark.usefixtures("no_wait")
def test_the_exceptions_of_an_injected_client_are_translated(httpx_mock: HTTPXMock) -> None:
    async def body() -> None:
        async with httpx.AsyncClient() as client:
            model = VLLMModel("smol", "http://vllm:8000", "k", http_client=client)  # type: ignore[arg-type] # see above
            with pytest.raises(ModelConnectionError, match="no connection to http://vllm:8000/v1 .*All is lost"):
                await model.call(USER, max_retries=1)

    for _ in range(2):
        httpx_mock.add_exception(httpx.ConnectError("All is lost"))
    anyio.run(body)


def test_a_body_that_ends_in_the_middle_is_not_taken_for_whole(httpx_mock: HTTPXMock) -> None:
    """Twelve of thirteen clients report success here."""

    async def body() -> None:
        async with httpx.AsyncClient() as client:
            model = VLLMModel("smol", "http://vllm:8000", "k", http_client=client, resume="never")  # type: ignore[arg-type] # see above
            with pytest.raises(StreamInterruptedError, match="could not be continued") as caught:
                [piece async for piece in model.call_stream(USER)]
        assert caught.value.partial == "1"
        assert isinstance(caught.value.__cause__, ModelConnectionError)

    httpx_mock.add_response(stream=IteratorStream(EVENTS[:2]), headers=SSE)
    anyio.run(body)
