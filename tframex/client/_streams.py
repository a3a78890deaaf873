"""The streams of the drop-in clients, one pair for each API.

The official client finds the class of their objects in the base that is its own, so each names that one too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import openai
from openai import AsyncStream, Stream
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tframex.client._answer_streams import AnswerStream, AsyncAnswerStream, Source
from tframex.client._chunks import ChunkMaker
from tframex.client._completions import CompletionMaker
from tframex.client._delta_events import TEXT, decode_deltas
from tframex.client._events import EventMaker
from tframex.client._shared import Shared
from tframex.exchange import ChatRequest, EventExchange, EventRequest, Exchange, TextRequest

__all__ = [
    "AsyncChatStream",
    "AsyncCompletionStream",
    "AsyncEventStream",
    "ChatStream",
    "CompletionStream",
    "EventStream",
    "stream_class",
]


class AsyncChatStream(AsyncAnswerStream[ChatCompletionChunk], AsyncStream[ChatCompletionChunk]):
    """`AsyncStream[ChatCompletionChunk]` for a fraction of the cost, whose answers are complete or end with an error."""

    def _source(self) -> Source[ChatCompletionChunk]:
        return _chat(self._client, self._options, self.response)


class ChatStream(AnswerStream[ChatCompletionChunk], Stream[ChatCompletionChunk]):
    """`Stream[ChatCompletionChunk]` for a fraction of the cost, whose answers are complete or end with an error."""

    def _source(self) -> Source[ChatCompletionChunk]:
        return _chat(self._client, self._options, self.response)


class AsyncCompletionStream(AsyncAnswerStream[Completion], AsyncStream[Completion]):
    """`AsyncStream[Completion]` for a fraction of the cost, whose answers are complete or end with an error."""

    def _source(self) -> Source[Completion]:
        return _completion(self._client, self._options, self.response)


class CompletionStream(AnswerStream[Completion], Stream[Completion]):
    """`Stream[Completion]` for a fraction of the cost, whose answers are complete or end with an error."""

    def _source(self) -> Source[Completion]:
        return _completion(self._client, self._options, self.response)


class AsyncEventStream(AsyncAnswerStream[ResponseStreamEvent], AsyncStream[ResponseStreamEvent]):
    """`AsyncStream[ResponseStreamEvent]` for a fraction of the cost, which is complete or ends with an error."""

    def _source(self) -> Source[ResponseStreamEvent]:
        return _events(self._client, self._options, self.response)


class EventStream(AnswerStream[ResponseStreamEvent], Stream[ResponseStreamEvent]):
    """`Stream[ResponseStreamEvent]` for a fraction of the cost, which is complete or ends with an error."""

    def _source(self) -> Source[ResponseStreamEvent]:
        return _events(self._client, self._options, self.response)


_RETRIEVED = re.compile(r"/responses/([^/?]+)")
# By path: the official type of the objects, and our streams of them.
_STREAMS: Mapping[str, tuple[Any, Any, Any]] = {
    "/chat/completions": (ChatCompletionChunk, AsyncChatStream, ChatStream),
    "/completions": (Completion, AsyncCompletionStream, CompletionStream),
    "/responses": (ResponseStreamEvent, AsyncEventStream, EventStream),
}


def stream_class(options: Any, cast_to: Any, asked: Any, *, asynchronous: bool) -> Any:
    """The class for the stream that a request asks for: one of ours, where there is one of the objects that are asked for.

    Args:
        options: The official client's options of the request.
        cast_to: The type of the objects of a stream whose class is left to the client.
        asked: The class that is asked for, if any.
        asynchronous: The client is asynchronous.
    """
    retrieved = options.method.lower() == "get" and _RETRIEVED.fullmatch(options.url)
    found = _STREAMS.get("/responses" if retrieved else options.url)
    if found is None or (options.method.lower() == "get" and not retrieved):
        return asked
    kind, ours_async, ours = found
    base: Any = AsyncStream if asynchronous else Stream
    official = cast_to == kind if asked is None else asked == base[kind]
    return (ours_async if asynchronous else ours) if official else asked


def _chat(client: Any, options: Any, response: Any) -> Source[ChatCompletionChunk]:
    """The answer to a chat request the official client has just sent."""
    model, body = _asked(options)
    messages = body.pop("messages", [])
    exchange = _exchange(client, ChatRequest(model, messages, body, _transport(options)))
    return Source(exchange, model, ChunkMaker(client, response, merges=client._tframex.pace is not None).make)


def _completion(client: Any, options: Any, response: Any) -> Source[Completion]:
    """The answer to a text request the official client has just sent."""
    model, body = _asked(options)
    prompt = body.pop("prompt", None)
    exchange = _exchange(client, TextRequest(model, [], body, _transport(options), prompt))
    return Source(exchange, model, CompletionMaker(client, response, merges=client._tframex.pace is not None).make)


def _exchange(client: Any, request: ChatRequest) -> Exchange:
    shared: Shared = client._tframex
    served = shared.of(str(client.base_url), request.model)
    return Exchange(
        request,
        served=served,
        budget=served.budget,
        model_id=request.model,
        max_retries=_retries(client),
        resume=shared.resume,
        asks_for_ids=False,
    )


def _events(client: Any, options: Any, response: Any) -> Source[ResponseStreamEvent]:
    """The events of a response that the official client has just asked for."""
    shared: Shared = client._tframex
    transport, (model, body) = _transport(options), _asked(options)
    if (found := _RETRIEVED.fullmatch(options.url)) is not None:
        # The response was stored, or there would be nothing to retrieve.
        query = dict(transport.pop("extra_query", None) or {})
        after = query.pop("starting_after", None)
        request = EventRequest(model, True, unquote(found[1]), after, query, transport)
    else:
        stored = bool(body.get("background")) and body.get("store") is not False
        query = {"include": body["include"]} if body.get("include") else {}
        padding = (body.get("stream_options") or {}).get("include_obfuscation")
        query.update({} if padding is None else {"include_obfuscation": padding})
        request = EventRequest(model, stored, query=query, transport=transport)
    exchange = EventExchange(
        request,
        decode_deltas,
        TEXT,
        budget=shared.of(str(client.base_url), model).budget,
        model_id=model,
        max_retries=_retries(client),
        resume=shared.resume,
    )
    return Source(exchange, model, EventMaker(client, response).make)


def _asked(options: Any) -> tuple[str, dict[str, Any]]:
    """The model and the other fields of a request's body."""
    body = {**(options.json_data or {}), **(options.extra_json or {})}
    body.pop("stream", None)
    return str(body.pop("model", None) or ""), body


def _transport(options: Any) -> dict[str, Any]:
    """What is no part of a request's body, under the names that users give it."""
    transport: dict[str, Any] = {
        "extra_headers": dict(options.headers) if isinstance(options.headers, Mapping) else None,
        "extra_query": dict(options.params) if options.params else None,
        "timeout": options.timeout,
    }
    return {name: value for name, value in transport.items() if _given(value)}


def _retries(client: Any) -> int:
    # The first response has already arrived: "never" means no request after it.
    return client.max_retries if client._tframex.resume == "auto" else 0


def _given(value: object) -> bool:
    return value is not None and not isinstance(value, (openai.NotGiven, openai.Omit))
