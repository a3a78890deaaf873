"""Drop-in replacements for `openai.OpenAI` and `openai.AsyncOpenAI`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from openai import DEFAULT_MAX_RETRIES, not_given

from tframex._checks import check_interval
from tframex._types import ResumeMode
from tframex.client._errors import clean
from tframex.client._http_client import HTTPClient
from tframex.client._shared import NOTHING, Shared, checked, given
from tframex.client._streams import stream_class
from tframex.client._token_ids import asking_for_ids, refused_ids
from tframex.exchange import hide_arguments
from tframex.exchange.transport import LoopTransport, build_request

if TYPE_CHECKING:
    from openai import DataResidency, NotGiven, Timeout
    from openai._provider import _Provider
    from openai.auth import WorkloadIdentity, X509WorkloadIdentity
    from typing_extensions import Self

__all__ = ["AsyncOpenAI", "OpenAI", "has_default_transport"]

# The official parameters are written out below, so that editors and type checkers see them; a test compares them. An older
# official client has fewer.
_ASYNC_INIT = frozenset(inspect.signature(openai.AsyncOpenAI.__init__).parameters)
_ASYNC_COPY = frozenset(inspect.signature(openai.AsyncOpenAI.copy).parameters)
_INIT = frozenset(inspect.signature(openai.OpenAI.__init__).parameters)
_COPY = frozenset(inspect.signature(openai.OpenAI.copy).parameters)


class AsyncOpenAI(openai.AsyncOpenAI):
    """`openai.AsyncOpenAI` with cheap streams that end complete or with an error.

    The same constructor, methods and types; everything but streamed answers is the official code. Unless you give
    an `http_client`, requests go through aiohttp on asyncio and httpx2 on trio, and the client may be used in one event
    loop after the other.

    Args:
        resume: `"auto"` continues a streamed answer that broke off, where the endpoint can (see the guide);
            `"never"` sends nothing after the response has begun and raises `APIStreamInterruptedError`.
        idle_timeout: Seconds between two events of a stream; keep-alive comments do not count. None: only the `timeout` of
            the official client.
        interval: Seconds between two chunks of a stream: text that arrives meanwhile is one chunk. 0 is every token
            immediately. Events of the Responses API come together, each as it is. For one request:
            `client.with_options(interval=0.05)`.
        api_key: As in `openai.AsyncOpenAI`, like all further parameters.
    """

    _tframex: Shared

    @hide_arguments
    def __init__(
        self,
        *,
        resume: ResumeMode = "auto",
        idle_timeout: float | None = None,
        interval: float = 0.0,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        admin_api_key: str | None = None,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = None,
        organization: str | None = None,
        project: str | None = None,
        webhook_secret: str | None = None,
        provider: _Provider | None = None,
        base_url: str | httpx2.URL | NotGiven | None = not_given,
        data_residency: DataResidency | None = None,
        websocket_base_url: str | httpx2.URL | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: httpx2.AsyncClient | None = None,
        _strict_response_validation: bool = False,
        _enforce_credentials: bool = True,
    ) -> None:
        options = given(locals(), _ASYNC_INIT)
        self._tframex = Shared(checked(resume), idle_timeout, check_interval(interval))
        if http_client is None:
            options["http_client"] = openai.DefaultAsyncHttpxClient(transport=LoopTransport(None))
        super().__init__(**options)

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> Any:
        return build_request(self, super()._build_request, options, retries_taken)

    async def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Send a request; a stream of answers is one of ours."""
        asking = None
        try:
            if stream:
                stream_cls = stream_class(options, cast_to, stream_cls, asynchronous=True)
                asking = asking_for_ids(self, stream_cls, options)
            if asking is not None:
                try:
                    return await super().request(cast_to, asking, stream=stream, stream_cls=stream_cls)
                except openai.APIStatusError as exc:
                    if not refused_ids(self, asking, exc):
                        raise
            return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except Exception as exc:
            clean(self, options, exc)
            del options, asking  # Reports with local variables would show its headers.
            raise

    @hide_arguments
    def copy(
        self,
        *,
        resume: ResumeMode | None = None,
        idle_timeout: float | NotGiven | None = not_given,
        interval: float | None = None,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        admin_api_key: str | None = None,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = None,
        provider: _Provider | NotGiven | None = not_given,
        organization: str | None = None,
        project: str | None = None,
        webhook_secret: str | None = None,
        websocket_base_url: str | httpx2.URL | None = None,
        base_url: str | httpx2.URL | NotGiven | None = not_given,
        data_residency: DataResidency | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        http_client: httpx2.AsyncClient | None = None,
        max_retries: int | NotGiven = not_given,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
        _enforce_credentials: bool | None = None,
        _extra_kwargs: Mapping[str, Any] = NOTHING,
    ) -> Self:
        """A client with the same settings, except those given; it shares what was learned of the endpoints."""
        made = super().copy(**given(locals(), _ASYNC_COPY))
        made._tframex = self._tframex.but(resume, idle_timeout, interval)
        return made

    with_options = copy


class OpenAI(openai.OpenAI):
    """`openai.OpenAI` with cheap streams that end complete or with an error.

    The same constructor, methods and types; everything but streamed answers is the official code. Connections are
    used again after a finished stream, which the official client does not do.

    Args:
        resume: `"auto"` continues a streamed answer that broke off, where the endpoint can (see the guide);
            `"never"` sends nothing after the response has begun and raises `APIStreamInterruptedError`.
        interval: Seconds between two chunks of a stream: text that arrives meanwhile is one chunk. 0 is every token
            immediately. Events of the Responses API come together, each as it is. For one request:
            `client.with_options(interval=0.05)`.
        api_key: As in `openai.OpenAI`, like all further parameters.
    """

    _tframex: Shared

    @hide_arguments
    def __init__(
        self,
        *,
        resume: ResumeMode = "auto",
        interval: float = 0.0,
        api_key: str | Callable[[], str] | None = None,
        admin_api_key: str | None = None,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = None,
        organization: str | None = None,
        project: str | None = None,
        webhook_secret: str | None = None,
        provider: _Provider | None = None,
        base_url: str | httpx2.URL | NotGiven | None = not_given,
        data_residency: DataResidency | None = None,
        websocket_base_url: str | httpx2.URL | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: httpx2.Client | None = None,
        _strict_response_validation: bool = False,
        _enforce_credentials: bool = True,
    ) -> None:
        options = given(locals(), _INIT)
        self._tframex = Shared(checked(resume), interval=check_interval(interval))
        if http_client is None:
            options["http_client"] = self._tframex.default_client = HTTPClient()
        super().__init__(**options)

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> Any:
        return build_request(self, super()._build_request, options, retries_taken)

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Send a request; a stream of answers is one of ours."""
        asking = None
        try:
            if stream:
                stream_cls = stream_class(options, cast_to, stream_cls, asynchronous=False)
                asking = asking_for_ids(self, stream_cls, options)
            if asking is not None:
                try:
                    return super().request(cast_to, asking, stream=stream, stream_cls=stream_cls)
                except openai.APIStatusError as exc:
                    if not refused_ids(self, asking, exc):
                        raise
            return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        except Exception as exc:
            clean(self, options, exc)
            del options, asking  # Reports with local variables would show its headers.
            raise

    @hide_arguments
    def copy(
        self,
        *,
        resume: ResumeMode | None = None,
        interval: float | None = None,
        api_key: str | Callable[[], str] | None = None,
        admin_api_key: str | None = None,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = None,
        provider: _Provider | NotGiven | None = not_given,
        organization: str | None = None,
        project: str | None = None,
        webhook_secret: str | None = None,
        websocket_base_url: str | httpx2.URL | None = None,
        base_url: str | httpx2.URL | NotGiven | None = not_given,
        data_residency: DataResidency | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
        http_client: httpx2.Client | None = None,
        max_retries: int | NotGiven = not_given,
        default_headers: Mapping[str, str] | None = None,
        set_default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        set_default_query: Mapping[str, object] | None = None,
        _enforce_credentials: bool | None = None,
        _extra_kwargs: Mapping[str, Any] = NOTHING,
    ) -> Self:
        """A client with the same settings, except those given; it shares what was learned of the endpoints."""
        made = super().copy(**given(locals(), _COPY))
        made._tframex = self._tframex.but(resume, not_given, interval)
        return made

    with_options = copy


def has_default_transport(client: OpenAI) -> bool:
    """Whether settings describe a client completely: no HTTP client was given to it."""
    return client._client is client._tframex.default_client
