"""The official stream objects, with our decoder and the resume ladder inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar

import openai
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from tframex.client._chunks import ChunkMaker
from tframex.client._shared import Shared
from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, StreamInterruptedError, TFrameXError
from tframex.exchange import ChatRequest, Clocks, Endpoint, ErrorEdge, Exchange, drive, drive_sync, hang_up
from tframex.tasks import Closing

__all__ = ["APIStreamInterruptedError", "APIStreamTimeoutError", "AsyncChatStream", "ChatStream", "clean"]

_Error = TypeVar("_Error", bound=BaseException)


class APIStreamInterruptedError(openai.APIConnectionError, StreamInterruptedError):
    """A stream of `tframex.OpenAI` or `tframex.AsyncOpenAI` broke off and could not be continued.

    It is both an `openai.APIConnectionError` and a `tframex.StreamInterruptedError`. Its cause is what broke the stream:
    the exception of the HTTP library, where there is one.

    Attributes:
        partial: The text that had arrived.
        body: The error that the server sent in the stream, if it sent one; `code`, `param` and `type` are taken from it.
    """

    def __init__(self, error: ModelError, request: Any, *, body: object = None) -> None:
        openai.APIError.__init__(self, str(error), request, body=body)
        self.model_id = error.model_id
        self.partial = error.partial


class APIStreamTimeoutError(APIStreamInterruptedError, openai.APITimeoutError):
    """A stream fell silent in the middle of the answer; also an `openai.APITimeoutError`."""


class AsyncChatStream(AsyncStream[ChatCompletionChunk]):
    """`AsyncStream[ChatCompletionChunk]` for a fraction of the cost, whose answers are complete or end with an error."""

    _exchange: Exchange | None = None

    async def __stream__(self) -> AsyncIterator[ChatCompletionChunk]:
        client: Any = self._client
        shared: Shared = client._tframex
        exchange, model = _exchange(client, self._options)
        self._exchange = exchange
        pace = client._tframex.pace
        maker = ChunkMaker(client, self.response, exchange, merges=pace is not None)
        endpoint = Endpoint.of(client, model)
        clocks = Clocks(idle=shared.idle_timeout)
        try:
            async with Closing(drive(exchange, endpoint, clocks, opened=self.response, pace=pace)) as batches:
                async for batch in batches:
                    for chunk in maker.make(batch):
                        yield chunk
                        if exchange.closed:
                            return
                    if exchange.closed:
                        return
        except ModelError as error:
            raise clean(client, self._options, _official(error, self.response.request)) from _reason(error)

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self._iterator

    async def close(self) -> None:
        """Close the response and release the connection; a reader in another task gets nothing more, either."""
        exchange = self._exchange
        if exchange is not None:
            exchange.closed = True
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            try:
                await aclose()
            except RuntimeError:  # Another task is reading: the closed response ends its wait.
                if exchange is not None and exchange.response is not None:
                    await exchange.response.aclose()
        await super().close()


class ChatStream(Stream[ChatCompletionChunk]):
    """`Stream[ChatCompletionChunk]` for a fraction of the cost, whose answers are complete or end with an error."""

    _exchange: Exchange | None = None

    def __stream__(self) -> Iterator[ChatCompletionChunk]:
        client: Any = self._client
        exchange, model = _exchange(client, self._options)
        self._exchange = exchange
        pace = client._tframex.pace
        maker = ChunkMaker(client, self.response, exchange, merges=pace is not None)
        batches = drive_sync(exchange, client, model, self.response, pace)
        try:
            for batch in batches:
                for chunk in maker.make(batch):
                    yield chunk
                    if exchange.closed:
                        return
                if exchange.closed:
                    return
        except ModelError as error:
            raise clean(client, self._options, _official(error, self.response.request)) from _reason(error)
        finally:
            batches.close()

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return self._iterator

    def close(self) -> None:
        """Close the response and release the connection; a reader in another thread gets nothing more, either."""
        exchange = self._exchange
        if exchange is not None:
            exchange.closed = True
        close = getattr(self._iterator, "close", None)
        if close is not None:
            try:
                close()
            except ValueError:  # Another thread is reading: the closed connection ends its wait.
                if exchange is not None and exchange.response is not None:
                    hang_up(exchange.response)
        super().close()


def _exchange(client: Any, options: Any) -> tuple[Exchange, str]:
    """The state of the answer to a request the official client has just sent."""
    shared: Shared = client._tframex
    body: dict[str, Any] = {**(options.json_data or {}), **(options.extra_json or {})}
    body.pop("stream", None)
    model = str(body.pop("model", ""))
    messages = body.pop("messages", [])
    transport: dict[str, Any] = {
        "extra_headers": dict(options.headers) if isinstance(options.headers, Mapping) else None,
        "extra_query": dict(options.params) if options.params else None,
        "timeout": options.timeout,
    }
    served = shared.of(str(client.base_url), model)
    request = ChatRequest(model, messages, body, {name: value for name, value in transport.items() if _given(value)})
    exchange = Exchange(
        request,
        served=served,
        budget=served.budget,
        model_id=model,
        # The first response has already arrived: "never" means no request after it.
        max_retries=client.max_retries if shared.resume == "auto" else 0,
        resume=shared.resume,
        asks_for_ids=False,
    )
    return exchange, model


def clean(client: Any, options: Any, error: _Error) -> _Error:
    """The same exception, without the keys and passwords of the client and of the request."""
    headers = options.headers if isinstance(options.headers, Mapping) else {}
    return ErrorEdge.of(client, "").knowing({"extra_headers": headers, "extra_query": options.params}).clean(error)


def _given(value: object) -> bool:
    return value is not None and not isinstance(value, (openai.NotGiven, openai.Omit))


def _official(error: ModelError, request: Any) -> openai.OpenAIError:
    """The exception that a user of the official client expects."""
    links = list(_own(error))
    status = next((link for link in links if isinstance(link, ModelStatusError)), None)
    timed_out = any(isinstance(link, ModelTimeoutError) for link in links)
    if not error.partial and status is not None:
        if isinstance(status.__cause__, openai.OpenAIError):
            return status.__cause__.with_traceback(None)
        return openai.APIError(str(error), request, body=status.body)
    if not error.partial and timed_out:
        return openai.APITimeoutError(request)
    kind = APIStreamTimeoutError if timed_out else APIStreamInterruptedError
    return kind(error, request, body=None if status is None else status.body)


def _reason(error: ModelError) -> BaseException | None:
    """The cause of the official exception: the exception of the HTTP library, as in the official client."""
    *_, last = _own(error)
    if isinstance(last, ModelStatusError):
        return None if not error.partial else last
    return last.__cause__ or last


def _own(error: BaseException) -> Iterator[TFrameXError]:
    """One of our errors, and our errors among its causes."""
    link: BaseException | None = error
    while isinstance(link, TFrameXError):
        yield link
        link = link.__cause__
