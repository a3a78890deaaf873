"""The Responses API of the fake server, with the responses that it has stored."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tframex.testing._engine import Engine, RequestError
from tframex.testing._response_writer import ResponseWriter
from tframex.testing._vocabulary import OPEN

__all__ = ["Responses"]

_PATH = "/v1/responses"
Events = Iterator[tuple[bytes, int]]


class Responses:
    """Makes responses, and keeps the events of those that are generated in the background.

    Args:
        engine: What generates.
        stores: It keeps them: OpenAI does, a vLLM that was started with VLLM_ENABLE_RESPONSES_API_STORE=1.
    """

    def __init__(self, engine: Engine, *, stores: bool) -> None:
        self._engine = engine
        self._stores = stores
        self._stored: dict[str, list[bytes]] = {}

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is one of this API."""
        return path == _PATH or path.startswith(f"{_PATH}/")

    def answer(self, path: str, body: Mapping[str, Any], query: Mapping[str, str]) -> Events | bytes:
        """The events that answer a request, each with how many tokens it took, or its JSON if it wants no stream.

        Raises:
            RequestError: The request is refused.
        """
        if path != _PATH:
            return self._again(path.removeprefix(f"{_PATH}/"), query)
        if body.get("background") and not (self._stores and body.get("store", True)):
            raise RequestError(400, "This vLLM engine does not support `store=True`", param="background")
        name = f"resp_{zlib.crc32(json.dumps(body).encode()):016x}"
        prompt, steps, thinking = self._engine.response(body)
        writer = ResponseWriter(body, name, self._engine.model, self._engine.dialect, prompt)
        events = writer.events(steps, thinking, (OPEN, "</think>"))
        if body.get("background"):
            # It is generated to its end, whether or not it is read.
            found = list(events)
            self._stored[name] = [data for data, _ in found if data]
            events = iter(found)
        if not body.get("stream"):
            *_, (last, _) = events
            return _response_of(last)
        return events

    def _again(self, name: str, query: Mapping[str, str]) -> Events | bytes:
        events = self._stored.get(name)
        if events is None:
            message = f"Response with id '{name}' not found."
            raise RequestError(404, message, kind="invalid_request_error", param="response_id")
        if query.get("stream") != "true":
            return _response_of(events[-1])
        return iter([(data, 0) for data in events[int(query.get("starting_after", -1)) + 1 :]])


def _response_of(event: bytes) -> bytes:
    body = json.loads(event.partition(b"data: ")[2])
    return json.dumps(body["response"]).encode()
