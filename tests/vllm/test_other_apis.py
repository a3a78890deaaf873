"""Streams of the Responses API and of `/v1/completions` that are cut after any event are those that are not cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from openai import omit

import tframex
from tests.vllm.proxy import CuttingProxy
from tests.vllm.server import KEY, MODEL, Server
from tframex.errors import StreamInterruptedError

TOKENS = 24
RESPONSE: dict[str, Any] = {
    "model": MODEL,
    "input": "Name three colours, with an emoji for each.",
    "max_output_tokens": TOKENS,
    "temperature": 0,
    "stream": True,
}
TEXT: dict[str, Any] = {
    "model": MODEL,
    "prompt": "The three primary colours are",
    "max_tokens": TOKENS,
    "temperature": 0,
    "stream": True,
    "stream_options": {"include_usage": True},
}
Ask = Callable[[Any], Any]


class Client:
    """One drop-in client of a colour, for several streams."""

    def __init__(self, backend: str, url: str) -> None:
        self._backend = backend
        self._url = url

    def read(self, *asks: Ask, **options: Any) -> list[list[Any]]:
        """The items of some streams."""
        if self._backend == "sync":
            with tframex.OpenAI(base_url=self._url, api_key=KEY, **options) as client:
                return [list(ask(client)) for ask in asks]

        async def body() -> list[list[Any]]:
            found = []
            async with tframex.AsyncOpenAI(base_url=self._url, api_key=KEY, **options) as client:
                for ask in asks:
                    found.append([item async for item in await ask(client)])
            return found

        return anyio.run(body, backend=self._backend)


@pytest.fixture(params=["asyncio", "trio", "sync"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def response(**options: Any) -> Ask:
    return lambda client: client.responses.create(**RESPONSE, **options)


def text(**options: Any) -> Ask:
    return lambda client: client.completions.create(**{**TEXT, **options})


def said(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def written(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def test_a_stored_response_that_is_cut_has_each_event_once(backend: str, vllm: Server) -> None:
    with CuttingProxy(vllm.port) as proxy:
        client = Client(backend, proxy.url)
        (complete,) = client.read(response())
        assert complete[-1].type == "response.completed"
        for events in range(1, TOKENS + 4, 1 if backend == "asyncio" else 6):
            proxy.cuts[:] = [events]
            (found,) = client.read(response(background=True))
            assert [event.sequence_number for event in found] == list(range(len(found))), events
            assert said(found) == said(complete), events
            assert found[-1].response.output_text == said(complete)


def test_another_response_that_is_cut_is_an_error(backend: str, vllm: Server) -> None:
    with CuttingProxy(vllm.port) as proxy:
        proxy.cuts[:] = [9]
        with pytest.raises(StreamInterruptedError) as caught:
            Client(backend, proxy.url).read(response())
        assert caught.value.partial
        assert len(proxy.bodies) == 1


def test_a_stored_response_is_retrieved_from_any_event(backend: str, vllm: Server) -> None:
    client = Client(backend, vllm.url)
    (complete,) = client.read(response(background=True))
    name = complete[0].response.id
    (rest,) = client.read(lambda client: client.responses.retrieve(name, stream=True, starting_after=10))
    assert [event.to_json() for event in rest] == [event.to_json() for event in complete[11:]]


def test_a_text_completion_that_is_cut_is_the_same(backend: str, vllm: Server) -> None:
    for ids in (True, False):
        with CuttingProxy(vllm.port, ids=ids) as proxy:
            client = Client(backend, proxy.url)
            for events in range(1, TOKENS, 1 if backend == "asyncio" else 6):
                proxy.bodies.clear()
                # The first stream tells that the server has token ids.
                proxy.cuts[:] = [1000, events]
                complete, found = client.read(text(), text())
                _, first, second = proxy.bodies
                assert first["return_token_ids"] is True
                assert isinstance(second["prompt"], list if ids else str)
                if ids:
                    assert written(found) == written(complete), events
                    assert found[-1].usage.completion_tokens == TOKENS
                    assert second["max_tokens"] <= TOKENS - events
                else:
                    # A server that is busy puts several tokens into one event, and without ids that is not seen.
                    assert written(found).startswith(written(complete)), events
                    assert second["max_tokens"] == TOKENS - events


def test_without_max_tokens_this_server_generates_sixteen(backend: str, vllm: Server) -> None:
    """Others generate as many as they can: such an answer is not continued."""
    (chunks,) = Client(backend, vllm.url).read(text(max_tokens=omit))
    assert chunks[-1].usage.completion_tokens == 16
