"""The official events of the Responses API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pydantic
from openai.types.responses import ResponseStreamEvent

from tframex.client._delta_events import KINDS, make_delta
from tframex.exchange import EventArrival

__all__ = ["EventMaker"]


class EventMaker:
    """Makes the events of one stream: deltas fast, the few others as the official client does.

    Args:
        client: The official client.
        response: The response the events belong to.
    """

    def __init__(self, client: Any, response: Any) -> None:
        self._client = client
        self._response = response

    def make(self, batch: EventArrival) -> Iterator[ResponseStreamEvent]:
        """The events of a batch, each as it is asked for."""
        return map(self._made, getattr(batch, "deltas", ()), batch.data)

    def _made(self, delta: Any, data: bytes) -> ResponseStreamEvent:
        if delta is not None:
            return cast(ResponseStreamEvent, make_delta(delta))
        body = json.loads(data)
        # The official client tries every class of the union in turn, over 100 us for each event. Only the one with this
        # `type` can be the one that it finds.
        kind = KINDS.get(str(body.get("type"))) if isinstance(body, dict) else None
        if kind is None:
            return self._constructed(body, ResponseStreamEvent)
        try:
            return cast(ResponseStreamEvent, kind.__pydantic_validator__.validate_python(body))
        except pydantic.ValidationError:
            return self._constructed(body, kind)

    def _constructed(self, body: Any, kind: Any) -> ResponseStreamEvent:
        made = self._client._process_response_data(data=body, cast_to=kind, response=self._response)
        return cast(ResponseStreamEvent, made)
