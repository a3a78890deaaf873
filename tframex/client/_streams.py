"""The official stream objects, with our decoder and the resume ladder inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import openai
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from tframex.client._chunks import ChunkMaker
from tframex.client._shared import Shared
from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, StreamInterruptedError
from tframex.exchange import ChatRequest, Clocks, Endpoint, Exchange, drive, drive_sync
from tframex.tasks import Closing

__all__ = ["APIStreamInterruptedError", "AsyncChatStream", "ChatStream"]


class APIStreamInterruptedError(openai.APIConnectionError, StreamInterruptedError):
    """A stream of `tframex.OpenAI` or `tframex.AsyncOpenAI` broke off and could not be continued.

    It is an `openai.APIConnectionError` and a `tframex.StreamInterruptedError` at once.

    Attributes:
        partial: The text that had arrived.
    """

    def __init__(self, error: ModelError, request: Any) -> None:
        openai.APIConnectionError.__init__(self, message=str(error), request=request)
        self.model_id = error.model_id
        self.partial = error.partial


class AsyncChatStream(AsyncStream[ChatCompletionChunk]):
    """`AsyncStream[ChatCompletionChunk]` for a fraction of the cost, whose answers are whole or end with an error."""

    _exchange: Exchange | None = None

    async def __stream__(self) -> AsyncIterator[ChatCompletionChunk]:
        client: Any = self._client
        shared: Shared = client._tframex
        exchange, model = _exchange(client, self._options)
        self._exchange = exchange
        maker = ChunkMaker(client, self.response, exchange)
        endpoint = Endpoint(client, model, str(client.base_url))
        clocks = Clocks(idle=shared.idle_timeout)
        try:
            async with Closing(drive(exchange, endpoint, clocks, opened=self.response)) as batches:
                async for batch in batches:
                    for chunk in maker.make(batch):
                        yield chunk
        except ModelError as error:
            raise _official(error, self.response.request) from _reason(error)

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self._iterator

    async def close(self) -> None:
        """Close the response and release the connection."""
        if self._exchange is not None:
            self._exchange.closed = True
        aclose = getattr(self._iterator, "aclose", None)
        # Another task may be reading; the closed response ends its wait.
        if aclose is not None:
            with suppress(RuntimeError):
                await aclose()
        await super().close()


class ChatStream(Stream[ChatCompletionChunk]):
    """`Stream[ChatCompletionChunk]` for a fraction of the cost, whose answers are whole or end with an error."""

    _exchange: Exchange | None = None

    def __stream__(self) -> Iterator[ChatCompletionChunk]:
        client: Any = self._client
        exchange, model = _exchange(client, self._options)
        self._exchange = exchange
        maker = ChunkMaker(client, self.response, exchange)
        batches = drive_sync(exchange, client, model, self.response)
        try:
            for batch in batches:
                yield from maker.make(batch)
        except ModelError as error:
            raise _official(error, self.response.request) from _reason(error)
        finally:
            batches.close()

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        return self._iterator

    def close(self) -> None:
        """Close the response and release the connection."""
        if self._exchange is not None:
            self._exchange.closed = True
        close = getattr(self._iterator, "close", None)
        if close is not None:
            with suppress(ValueError):  # another thread is reading
                close()
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
    learned = shared.of(str(client.base_url), model)
    request = ChatRequest(model, messages, body, {name: value for name, value in transport.items() if _given(value)})
    exchange = Exchange(
        request,
        abilities=learned.abilities,
        budget=learned.budget,
        model_id=model,
        max_retries=client.max_retries,
        resume=shared.resume,
        asks_for_ids=False,
    )
    return exchange, model


def _given(value: object) -> bool:
    return value is not None and not isinstance(value, (openai.NotGiven, openai.Omit))


def _official(error: ModelError, request: Any) -> openai.OpenAIError:
    """The exception a user of the official client expects."""
    cause = error.__cause__
    if isinstance(error, ModelStatusError) and not error.partial:
        if isinstance(cause, openai.OpenAIError):
            return cause.with_traceback(None)
        return openai.APIError(str(error), request, body=error.body)
    if isinstance(error, ModelTimeoutError) and not error.partial:
        return openai.APITimeoutError(request)
    return APIStreamInterruptedError(error, request)


def _reason(error: ModelError) -> BaseException | None:
    """What the official exception is raised from: never itself."""
    return None if isinstance(error, ModelStatusError) and not error.partial else error
