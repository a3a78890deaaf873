"""A request that is made from an earlier one is the request that the official client would have sent."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from unittest import mock

import httpx2
import openai
import pytest

import tframex
from tests.conftest import USER
from tframex.exchange._aiohttp_send import send
from tframex.exchange._http_client import HTTPClient
from tframex.exchange.transport import make_async_client

BODY: dict[str, Any] = {"model": "m", "messages": USER, "stream": True, "temperature": 0.5}
URL = "http://localhost:8000/v1"


def seen(client: Any, sends: Callable[[Any], Any]) -> list[tuple[Any, ...]]:
    """The requests that reach the transport of a client, in all that is sent of them."""
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, headers={"set-cookie": "a=b"} if sends is cookies else {}, json={})

    kind = httpx2.AsyncClient if isinstance(client, openai.AsyncOpenAI) else httpx2.Client
    headers = {"x-of-the-http-client": "1"}
    client._client = kind(transport=httpx2.MockTransport(handle), headers=headers)
    result = sends(client)
    if asyncio.iscoroutine(result):
        asyncio.run(result)
    return [
        (request.method, str(request.url), request.headers.multi_items(), request.read(), request.extensions)
        for request in requests
    ]


async def thrice(client: Any) -> None:
    for number in range(3):
        await client.post("/chat/completions", cast_to=httpx2.Response, body={**BODY, "seed": 10**number}, stream=True)


async def to_two_paths(client: Any) -> None:
    for path in ("/chat/completions", "/completions", "/chat/completions", "/completions"):
        await client.post(path, cast_to=httpx2.Response, body=BODY)


async def with_headers(client: Any) -> None:
    for headers in ({}, {"X-A": "1"}, {"X-A": "1"}, {"X-A": "2"}, {"Authorization": openai.omit, "x-B": "3"}, {}):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY, options={"headers": headers})


async def with_times(client: Any) -> None:
    for timeout in (1.0, 1.0, openai.Timeout(None, connect=3), openai.not_given, None):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY, options={"timeout": timeout})


async def with_parameters(client: Any) -> None:
    for params in ({"a": "b"}, {}, {"a": [1, 2]}):
        await client.post("/chat/completions?x=y", cast_to=httpx2.Response, body=BODY, options={"params": params})


async def with_settings_that_change(client: Any) -> None:
    for name, value in (("api_key", "other"), ("base_url", "http://other/v2"), ("organization", "o"), ("timeout", 9.0)):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY)
        setattr(client, name, value)
    client._client.headers["x-later"] = "1"
    for _ in range(2):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY)


async def cookies(client: Any) -> None:
    for _ in range(3):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY)


async def unusual_bodies(client: Any) -> None:
    for body in (
        BODY,
        {"at": datetime(2026, 1, 2, tzinfo=timezone.utc)},
        {"ü": "“静か”", "n": [None, True, 1e300]},
        {},
    ):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
    await client.post("/chat/completions", cast_to=httpx2.Response, content=b"{}")
    await client.post("/chat/completions", cast_to=httpx2.Response, body=[1])
    await client.get("/models", cast_to=httpx2.Response)
    options: Any = {"extra_json": {"more": 1}}
    for _ in range(2):
        await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY, options=options)


SENDS = [
    thrice,
    to_two_paths,
    with_headers,
    with_times,
    with_parameters,
    with_settings_that_change,
    cookies,
    unusual_bodies,
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("sends", SENDS)
@pytest.mark.parametrize("kind", ["model", "drop-in"])
def test_the_same_is_sent_as_by_the_official_client(sends: Callable[[Any], Any], kind: str) -> None:
    """Method, URL, headers in their order, body and time limits, for the first request and those made from it."""

    async def main() -> Any:
        timeout = openai.Timeout(None, connect=5)
        if kind == "model":
            return make_async_client(base_url=URL, api_key="k", timeout=timeout, default_headers={"x-d": "1"})
        return tframex.AsyncOpenAI(
            base_url=URL, api_key="k", timeout=timeout, default_headers={"x-d": "1"}, max_retries=0
        )

    client = asyncio.run(main())
    settings: dict[str, Any] = {"base_url": URL, "api_key": "k", "default_headers": {"x-d": "1"}, "max_retries": 0}
    official = openai.AsyncOpenAI(timeout=openai.Timeout(None, connect=5), **settings)
    ours, theirs = seen(client, sends), seen(official, sends)
    assert len(ours) > 2
    assert ours == theirs


@pytest.mark.parametrize("sends", [thrice, with_headers, to_two_paths])
def test_only_what_is_new_is_built_by_the_official_code(sends: Callable[[Any], Any]) -> None:
    """Another body is not: that is what saves the time."""
    client = tframex.AsyncOpenAI(base_url=URL, api_key="k")
    with mock.patch(
        "openai.AsyncOpenAI._build_request", autospec=True, side_effect=openai.AsyncOpenAI._build_request
    ) as built:
        found = seen(client, sends)
    expected: dict[Any, tuple[int, int]] = {thrice: (3, 1), with_headers: (6, 5), to_two_paths: (4, 2)}
    assert (len(found), built.call_count) == expected[sends]


def test_the_synchronous_client_sends_the_same() -> None:
    """It makes its requests in the same way."""

    def sends(client: Any) -> None:
        for number in range(3):
            client.post("/chat/completions", cast_to=httpx2.Response, body={**BODY, "seed": 10**number})

    settings: dict[str, Any] = {"base_url": URL, "api_key": "k", "default_headers": {"x-d": "1"}, "max_retries": 0}
    assert seen(tframex.OpenAI(**settings), sends) == seen(openai.OpenAI(**settings), sends)


def test_a_subclass_with_its_own_ways_is_asked_for_each_request() -> None:
    """Its URL may differ from request to request."""

    class Numbered(tframex.AsyncOpenAI):
        number = 0

        def _prepare_url(self, url: str) -> Any:
            self.number += 1
            return super()._prepare_url(f"/{self.number}{url}")

        @property
        def default_headers(self) -> Any:
            return {**super().default_headers, "x-number": str(self.number)}

    found = seen(Numbered(base_url=URL, api_key="k"), thrice)
    assert [url for _, url, *_ in found] == [f"{URL}/{number}/chat/completions" for number in (1, 2, 3)]
    assert [dict(headers)["x-number"] for _, _, headers, *_ in found] == ["0", "1", "2"]


def test_a_subclass_with_its_own_headers_is_asked_for_them_once_for_each_request() -> None:
    """A count of its own shows how often it was asked."""

    class Counting(tframex.AsyncOpenAI):
        asked = 0

        @property
        def default_headers(self) -> Any:
            self.asked += 1
            return {**super().default_headers, "x-asked": str(self.asked)}

    found = seen(Counting(base_url=URL, api_key="k"), thrice)
    assert [dict(headers)["x-asked"] for _, _, headers, *_ in found] == ["1", "2", "3"]


def test_what_is_added_to_a_request_before_it_is_sent_is_not_in_the_next() -> None:
    """A provider signs each request so."""

    class Signing(tframex.AsyncOpenAI):
        signed = 0

        async def _prepare_request(self, request: httpx2.Request) -> None:
            assert "x-signature" not in request.headers
            self.signed += 1
            request.headers["x-signature"] = str(self.signed)

    found = seen(Signing(base_url=URL, api_key="k"), thrice)
    assert [dict(headers)["x-signature"] for _, _, headers, *_ in found] == ["1", "2", "3"]


def test_what_a_hook_writes_into_a_request_is_not_in_the_next() -> None:
    """Neither its headers nor its extensions."""
    extensions: list[dict[str, Any]] = []

    async def hook(request: httpx2.Request) -> None:
        extensions.append({name: value for name, value in request.extensions.items() if name == "trace-id"})
        request.extensions["trace-id"] = len(extensions)
        request.headers["x-request-id"] = request.headers.get("x-request-id", str(len(extensions)))

    async def sends(client: Any) -> None:
        client._client.event_hooks = {"request": [hook]}
        await thrice(client)

    found = seen(tframex.AsyncOpenAI(base_url=URL, api_key="k"), sends)
    assert [dict(headers)["x-request-id"] for _, _, headers, *_ in found] == ["1", "2", "3"]
    assert extensions == [{}, {}, {}]


def test_a_provider_signs_each_request() -> None:
    """It refuses a request that is signed already."""
    from openai.providers import bedrock

    client = tframex.AsyncOpenAI(provider=bedrock(region="us-east-1", api_key="token"))
    found = seen(client, thrice)
    assert [dict(headers)["authorization"] for _, _, headers, *_ in found] == ["Bearer token"] * 3


def test_a_time_limit_that_is_changed_in_place_is_sent_as_it_is() -> None:
    limit = openai.Timeout(9.0, connect=3.0)

    async def sends(client: Any) -> None:
        for read in (9.0, 1.0):
            limit.read = read
            await client.post("/chat/completions", cast_to=httpx2.Response, body=BODY)

    found = seen(tframex.AsyncOpenAI(base_url=URL, api_key="k", timeout=limit), sends)
    assert [extensions["timeout"]["read"] for *_, extensions in found] == [9.0, 1.0]


def test_a_client_keeps_few_of_its_requests_without_their_bodies_and_shows_no_key() -> None:
    """The URLs of stored objects have ids in them, so that there is no end of them."""

    async def sends(client: Any) -> None:
        for number in range(50):
            body = {"items": [f"private {number}"]}
            await client.post(f"/conversations/{number}/items", cast_to=httpx2.Response, body=body)

    client = tframex.AsyncOpenAI(base_url=URL, api_key="sk-planted-0123456789")
    assert len(seen(client, sends)) == 50
    (kept,) = [value for name, value in vars(client).items() if name.endswith("templates")]
    assert 0 < len(kept) <= 8
    assert b"private" not in pickle.dumps([(one._url, one._headers, one._extensions) for one in kept.values()])
    assert "planted" not in repr(kept)


def test_a_client_whose_ways_were_replaced_is_asked_for_each_request() -> None:
    """Of an instance, as tests and tracers do."""

    async def sends(client: Any) -> None:
        http, numbers = client._client, iter(range(9))
        build = http.build_request

        def numbered(*args: Any, **kwargs: Any) -> Any:
            request = build(*args, **kwargs)
            request.headers["x-number"] = str(next(numbers))
            return request

        http.build_request = numbered
        await thrice(client)

    found = seen(tframex.AsyncOpenAI(base_url=URL, api_key="k"), sends)
    assert [dict(headers)["x-number"] for _, _, headers, *_ in found] == ["0", "1", "2"]


def test_a_key_that_is_fetched_for_each_request_is_sent_with_it() -> None:
    """A template with the key of an earlier request would be refused after an hour."""
    keys = iter(["one", "two", "two", "three"])

    async def key() -> str:
        return next(keys)

    found = seen(tframex.AsyncOpenAI(base_url=URL, api_key=key), to_two_paths)
    assert [dict(headers)["authorization"] for _, _, headers, *_ in found] == [
        "Bearer one",
        "Bearer two",
        "Bearer two",
        "Bearer three",
    ]


def test_a_body_that_is_no_json_is_refused_as_by_the_official_client() -> None:
    """The first request and the later ones raise the same."""

    async def sends(client: Any) -> None:
        for body in ({"a": math.nan}, BODY, {"a": math.nan}, {"a": {1, 2}}):
            try:
                await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            except (TypeError, ValueError) as exc:
                raised.append((type(exc), str(exc)))

    raised: list[tuple[type, str]] = []
    seen(tframex.AsyncOpenAI(base_url=URL, api_key="k"), sends)
    ours = list(raised)
    raised.clear()
    seen(openai.AsyncOpenAI(base_url=URL, api_key="k"), sends)
    assert ours == raised
    assert len(ours) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_the_bytes_of_a_request_are_those_of_the_official_adapter(stream: bool) -> None:
    """It gets the same from us, also where a body comes in pieces."""

    async def pieces() -> Any:
        yield b"one "
        yield b"two"

    async def main() -> list[bytes]:
        received: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.readuntil(b"two"))
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x?a=b%20c"
        for sends in (send, lambda transport, request: transport.handle_async_request(request)):
            async with openai.DefaultAioHttpClient() as client:
                headers = [("X-One", "1"), ("x-one", "2"), ("Accept", "*/*"), ("X-Umlaut", "ü".encode())]
                request = client.build_request("POST", url, headers=headers, content=pieces() if stream else b"one two")
                response = await sends(client._transport, request)
                assert (response.status_code, response.reason_phrase) == (200, "OK")
                assert await response.aread() == b"ok"
                assert response.request is request
        server.close()
        return received

    ours, theirs = asyncio.run(main())
    assert ours == theirs


def answer(request: httpx2.Request) -> httpx2.Response:
    """Redirects, sets a cookie, asks for a password, or fails, as the path says."""
    if request.url.path == "/moved":
        return httpx2.Response(307, headers={"location": "/cookie"})
    if request.url.path == "/broken":
        raise httpx2.ReadError("broken")
    return httpx2.Response(200, headers={"set-cookie": "a=b"}, text=str(sorted(request.headers.items())))


@pytest.mark.parametrize("url", ["http://h/plain", "http://h/moved", "http://name:word@h/plain", "http://h/broken"])
@pytest.mark.parametrize("special", ["nothing", "hooks", "log"])
def test_the_direct_way_to_the_transport_ends_as_the_official_one(
    url: str, special: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Redirects are followed, cookies kept, hooks called, and an error knows its request."""

    async def ends(kind: type[httpx2.AsyncClient]) -> list[object]:
        found: list[object] = []

        async def hook(message: object) -> None:
            found.append(type(message).__name__)

        async with kind(transport=httpx2.MockTransport(answer)) as client:
            if special == "hooks":
                client.event_hooks = {"request": [hook], "response": [hook]}
            for _ in range(2):
                try:
                    response = await client.send(client.build_request("POST", url, content=b"{}"), stream=True)
                except httpx2.ReadError as exc:
                    found += [str(exc), str(exc.request.url)]
                else:
                    found += [response.status_code, str(response.request.url), (await response.aread()).decode()]
                    await response.aclose()
            found.append(dict(client.cookies))
        return found

    with caplog.at_level("INFO" if special == "log" else "WARNING", "httpx2"):
        ours = asyncio.run(ends(HTTPClient))
        logged = [record.getMessage() for record in caplog.records]
        caplog.clear()
        assert asyncio.run(ends(openai.DefaultAsyncHttpxClient)) == ours
        assert [record.getMessage() for record in caplog.records] == logged


def test_a_replaced_send_of_httpx2_sees_our_requests() -> None:
    """Tracing does so: it would see nothing of a model."""

    async def main() -> int:
        async with HTTPClient(transport=httpx2.MockTransport(answer)) as client:
            with mock.patch.object(
                httpx2.AsyncClient, "send", autospec=True, side_effect=httpx2.AsyncClient.send
            ) as sent:
                await client.send(client.build_request("POST", "http://h/plain"), stream=True)
            return sent.call_count

    assert asyncio.run(main()) == 1
