"""Where foreign exceptions become ours, and keys are taken out of them."""

from __future__ import annotations

import inspect
import json
from typing import Any

import aiohttp
import aiohttp.http_exceptions
import httpx
import httpx2
import openai
import pytest

from tests.conftest import USER, Colour
from tframex.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextLengthError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    RateLimitError,
)
from tframex.exchange import ErrorEdge, Secrets, error_from_body, is_transient
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault

EDGE = ErrorEdge("m", "http://h/v1")
REQUEST = httpx2.Request("POST", "http://h/v1")
SECRET = "sk-0123456789"

# -- what an error of a server means ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"code": 503, "message": "busy"}, ModelStatusError, 503),
        ({"code": "429", "message": "slow down"}, RateLimitError, 429),
        ({"code": "1210", "message": "API parameter error"}, ModelStatusError, 500),
        ({"code": 1210}, ModelStatusError, 500),
        ({"code": "099"}, ModelStatusError, 500),
        ({"code": 200}, ModelStatusError, 500),
        ({"code": True}, ModelStatusError, 500),
        ({"code": None, "type": "invalid_request_error"}, ModelStatusError, 400),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, AuthenticationError, 401),
        ({"type": "authentication_error"}, AuthenticationError, 401),
        ({"type": "AuthenticationError"}, AuthenticationError, 401),
        ({"code": "context_length_exceeded", "message": "too long"}, ContextLengthError, 400),
        (
            {"type": "exceed_context_size_error", "message": "available context size (8192 tokens)"},
            ContextLengthError,
            400,
        ),
        ({"code": "model_not_found"}, ModelNotFoundError, 404),
        ({"type": "NotFoundError"}, ModelNotFoundError, 404),
        ({"code": "rate_limit_exceeded"}, RateLimitError, 429),
        ({"type": "overloaded_error"}, ModelStatusError, 503),
        ({"type": "Service Unavailable"}, ModelStatusError, 503),
        ({"type": "InternalServerError"}, ModelStatusError, 500),
        ("Unauthorized", ModelStatusError, 500),
        ({}, ModelStatusError, 500),
    ],
)
def test_an_error_inside_a_stream_is_what_it_calls_itself(error: Any, kind: type[ModelError], status: int) -> None:
    found = error_from_body(error, model_id="m")
    assert (type(found), found.status_code) == (kind, status)
    assert is_transient(found) == (status >= 500 or status == 429)


@pytest.mark.parametrize(
    ("code", "kind"), [("invalid_api_key", AuthenticationError), ("context_length_exceeded", ContextLengthError)]
)
@pytest.mark.parametrize("at", [0, 2000])
def test_what_cannot_succeed_is_not_asked_again(colour: Colour, code: str, kind: type[ModelError], at: int) -> None:
    """Inside a stream too, where the status says 200."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            with pytest.raises(kind):
                await model.call(USER)

    said = json.dumps({"error": {"message": "no", "type": "invalid_request_error", "code": code}}).encode()
    with FakeVLLM(faults=[Fault("error", at, body=said)]) as server:
        colour.run(body)
    assert len(server.completions()) == 1


# -- what cannot be sent ---------------------------------------------------------------------------------------------------


def circular() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["itself"] = found
    return found


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


UNSENDABLE: dict[str, tuple[Any, str]] = {
    "a lone surrogate": ({"stop": "a\ud800"}, "UTF-8 cannot carry"),
    "a surrogate as a name": ({"\ud800": 1}, "UTF-8 cannot carry"),
    "a dict that holds itself": ({"logit_bias": circular()}, "cannot be written as JSON"),
    "a list that is too deep": ({"logit_bias": deep()}, "cannot be written as JSON"),
    "a name that is a tuple": ({"logit_bias": {(1, 2): 3}}, "cannot be written as JSON"),
    "not a number": ({"temperature": float("nan")}, "cannot be written as JSON"),
    "a set": ({"stop": {"a"}}, "cannot be written as JSON"),
    "a header that is a number": ({"extra_headers": {"a": 1}}, "the type int"),
    "a header beyond ASCII": ({"extra_headers": {"a": f"{SECRET}ü"}}, "no HTTP header can carry"),
    "a header of two lines": ({"extra_headers": {"a": f"{SECRET}\nb"}}, "no HTTP header can carry"),
    "a header with a bad name": ({"extra_headers": {"a b": "c"}}, "no HTTP header can have"),
    "headers that are a list": ({"extra_headers": ["a"]}, "must be a mapping"),
    "a query that is a number": ({"extra_query": 5}, "must be a mapping"),
    "an extra body that is a number": ({"extra_body": 5}, "must be a mapping"),
    "a timeout that is text": ({"timeout": "soon"}, "number of seconds"),
    "a timeout below 0": ({"timeout": -1}, "number of seconds"),
    "a timeout that is no number": ({"timeout": float("nan")}, "number of seconds"),
}


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_cannot_be_sent_is_said_before_anything_is(colour: Colour, what: str) -> None:
    """It is no cut connection, and no reason to send less."""
    options, words = UNSENDABLE[what]

    async def body() -> None:
        made = VLLMModel("fake", server.url, "k")
        async with colour.make(made) as model:
            with pytest.raises(ConfigurationError, match=words) as caught:
                await model.call(USER, **options)
            assert SECRET not in str(caught.value)
        assert made.limit.refusals == 0

    with FakeVLLM() as server:
        colour.run(body)
    assert not server.requests


def test_a_model_is_not_made_with_headers_that_cannot_be_sent() -> None:
    with pytest.raises(ConfigurationError, match=r"default_headers\['authorization'\] has characters") as caught:
        VLLMModel("fake", "http://h", "k", default_headers={"authorization": f"Bearer {SECRET}\n"})
    assert SECRET not in str(caught.value)


# -- the exceptions of others ----------------------------------------------------------------------------------------------

CUT, LATE, SAID, DENIED = ModelConnectionError, ModelTimeoutError, ModelStatusError, AuthenticationError
# Every exception class of the libraries below us, and what it becomes when it comes out of a request. A library's new class
# fails the test until it has been decided what becomes of it.
OPENAI: dict[str, type[ModelError]] = {
    "APIConnectionError": CUT,
    "APIError": SAID,
    "APIResponseValidationError": SAID,
    "APIStatusError": SAID,
    "APITimeoutError": LATE,
    "AuthenticationError": DENIED,
    "BadRequestError": SAID,
    "ConflictError": SAID,
    "ContentFilterFinishReasonError": CUT,
    "InternalServerError": SAID,
    "InvalidWebhookSignatureError": CUT,
    "LengthFinishReasonError": CUT,
    "NotFoundError": ModelNotFoundError,
    "OAuthError": DENIED,
    "OpenAIError": CUT,
    "PermissionDeniedError": DENIED,
    "RateLimitError": RateLimitError,
    "SubjectTokenProviderError": CUT,
    "UnprocessableEntityError": SAID,
    "WebSocketConnectionClosedError": CUT,
    "WebSocketQueueFullError": CUT,
}
STATUSES = {
    "AuthenticationError": 401,
    "BadRequestError": 400,
    "ConflictError": 409,
    "InternalServerError": 500,
    "NotFoundError": 404,
    "OAuthError": 401,
    "PermissionDeniedError": 403,
    "RateLimitError": 429,
    "UnprocessableEntityError": 422,
}
HTTPX_CUTS = """
    CloseError ConnectError CookieConflict DecodingError HTTPError HTTPStatusError InvalidURL LocalProtocolError
    NetworkError
    ProtocolError ProxyError ReadError RemoteProtocolError RequestError RequestNotRead ResponseNotRead SSEError StreamClosed
    StreamConsumed StreamError TooManyRedirects TransportError UnsupportedProtocol WriteError
"""
HTTPX_TIMEOUTS = "ConnectTimeout PoolTimeout ReadTimeout TimeoutException WriteTimeout"
AIOHTTP_CUTS = """
    ClientConnectionError ClientConnectionResetError ClientConnectorCertificateError ClientConnectorDNSError
    ClientConnectorError ClientConnectorSSLError ClientError ClientHttpProxyError ClientOSError ClientPayloadError
    ClientProxyConnectionError ClientResponseError ClientSSLError ContentTypeError InvalidURL InvalidUrlClientError
    InvalidUrlRedirectClientError NonHttpUrlClientError NonHttpUrlRedirectClientError RedirectClientError
    ServerConnectionError ServerDisconnectedError ServerFingerprintMismatch TooManyRedirects UnixClientConnectorError
    UploadAbortedError WSMessageTypeError WSServerHandshakeError
"""
AIOHTTP_TIMEOUTS = "ConnectionTimeoutError ServerTimeoutError SocketTimeoutError"
HTTPX = {**dict.fromkeys(HTTPX_CUTS.split(), CUT), **dict.fromkeys(HTTPX_TIMEOUTS.split(), LATE)}
AIOHTTP = {**dict.fromkeys(AIOHTTP_CUTS.split(), CUT), **dict.fromkeys(AIOHTTP_TIMEOUTS.split(), LATE)}


def exceptions_of(module: Any) -> dict[str, type[Exception]]:
    home = module.__name__.split(".")[0]
    found = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {
        name: kind
        for name, kind in found.items()
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__.split(".")[0] == home
    }


@pytest.mark.parametrize(
    ("module", "expected"),
    [(openai._exceptions, OPENAI), (httpx2, HTTPX), (httpx, HTTPX), (aiohttp.client_exceptions, AIOHTTP)],
    ids=["openai", "httpx2", "httpx", "aiohttp"],
)
def test_every_exception_of_the_libraries_below_becomes_one_of_ours(module: Any, expected: dict[str, Any]) -> None:
    found = exceptions_of(module)
    assert found.keys() <= expected.keys(), f"not thought about: {found.keys() - expected.keys()}"
    for name, kind in found.items():
        error = EDGE.translate(made(kind))
        assert isinstance(error, expected[name]), name
        assert isinstance(error.__cause__, kind)
        assert str(error)


def made(kind: type[Exception]) -> Exception:
    """An exception of a class, however its constructor looks."""
    if issubclass(kind, openai.APIStatusError):
        response = httpx2.Response(STATUSES.get(kind.__name__, 418), request=REQUEST)
        if issubclass(kind, openai.OAuthError):
            return kind(response=response, body=None)
        return kind("no", response=response, body=None)
    if issubclass(kind, openai.APIResponseValidationError):
        return kind(httpx2.Response(200, request=REQUEST), None)
    if issubclass(kind, openai.APIConnectionError):
        return kind(request=REQUEST)
    if issubclass(kind, openai.APIError):
        return kind("no", REQUEST, body=None)
    exc = kind.__new__(kind)
    Exception.__init__(exc)
    # What their texts are made of.
    for name in (
        "_conn_key",
        "_path",
        "_url",
        "_description",
        "_os_error",
        "_certificate_error",
        "request_info",
        "status",
        "message",
        "history",
        "headers",
        "host",
        "port",
        "expected",
        "got",
    ):
        try:
            setattr(exc, name, Anything())
        except AttributeError:
            continue
    return exc


class Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> str:
        return name


def test_what_happened_is_found_at_the_bottom_of_the_chain() -> None:
    late = openai.APITimeoutError(REQUEST)
    late.__cause__ = httpx2.ReadTimeout("")
    unconnected = openai.APITimeoutError(REQUEST)
    unconnected.__cause__ = httpx2.ConnectTimeout("")
    cases: list[tuple[Exception, type[Exception], str]] = [
        (late, ModelTimeoutError, "first_token"),
        (unconnected, ModelTimeoutError, "connect"),
        (httpx2.ReadTimeout(""), ModelTimeoutError, "idle"),
        (openai.APIError("odd", REQUEST, body={"message": "odd", "code": 418}), ModelStatusError, "418: odd"),
        (OSError("gone"), ModelConnectionError, "gone"),
    ]
    for exc, kind, words in cases:
        error = EDGE.translate(exc)
        assert type(error) is kind
        assert words in f"{error} {getattr(error, 'phase', '')}"


# -- keys ------------------------------------------------------------------------------------------------------------------


def test_a_key_is_taken_out_of_an_error_and_all_that_hangs_on_it() -> None:
    error = ModelStatusError(f"no {SECRET}", body={"error": [f"key {SECRET}"], SECRET: 1}, partial=f"a {SECRET}")
    error.__cause__ = ValueError(f"Bearer {SECRET}", SECRET.encode(), (SECRET,))
    error.__cause__.__context__ = OSError(5, f"no route with {SECRET}")
    headers = {"Authorization": f"Bearer {SECRET}"}
    error.__cause__.request_info = aiohttp.RequestInfo("http://h", "GET", headers, "http://h")  # type: ignore[attr-defined,arg-type]
    answer = openai.APIStatusError("no", response=httpx2.Response(400, request=request(SECRET)), body=None)
    error.__context__ = answer
    ErrorEdge("m", secrets=Secrets.of(SECRET)).clean(error)
    shown = [
        f"{link} {link!r} {vars(link)}"
        for link in (error, error.__cause__, error.__cause__.__context__, answer)
        if link is not None
    ]
    assert SECRET not in " ".join([*shown, str(answer.request.headers.raw), str(answer.request.url)])
    assert error.body == {"error": ["key ***"], "***": 1}
    assert answer.response.status_code == 400


def request(secret: str) -> httpx2.Request:
    return httpx2.Request("POST", f"http://user:{secret}@h/v1", headers={"api-key": secret, "x-other": "kept"})


def test_a_short_key_is_no_secret() -> None:
    error = ModelStatusError("none of these parameters")
    ErrorEdge("m", secrets=Secrets.of("none")).clean(error)
    assert error.args == ("none of these parameters",)


def test_the_secrets_of_a_client_are_its_key_its_headers_and_the_password_in_its_url() -> None:
    client = openai.OpenAI(
        base_url="http://user:p%40ssword-1234@h/v1",
        api_key=SECRET,
        default_headers={"x-api-key": "x-0123456789", "x-app": "not-a-secret"},
    )
    edge = ErrorEdge.of(client, "m").knowing({"extra_headers": {"Authorization": "Bearer b-0123456789"}})
    text = f"{SECRET} p%40ssword-1234 p@ssword-1234 x-0123456789 b-0123456789 not-a-secret dXNlcjpwQHNzd29yZC0xMjM0"
    assert edge.secrets.hide(text) == "*** *** *** *** *** not-a-secret ***"
    assert "ssword" not in edge.url
    assert not any(secret in repr(edge) for secret in text.split() if secret != "not-a-secret")
    client.close()
