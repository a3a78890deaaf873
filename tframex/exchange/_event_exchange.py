"""One response of the Responses API, over as many requests as it takes.

Only what the endpoint has stored can be continued: it is retrieved from the event after the last that arrived. A response
is never asked for a second time: it may have used tools, and belongs to a conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote

import tenacity

from tframex._logging import get_logger
from tframex._types import ResumeMode
from tframex.errors import ModelError, ModelStatusError
from tframex.exchange._arrival import Arrival
from tframex.exchange._continuation import final
from tframex.exchange._event_reader import DeltaDecoder, EventReader
from tframex.exchange._event_status import StatusReader
from tframex.exchange._event_trail import EventTrail
from tframex.exchange._observer import Observer
from tframex.exchange._patience import Patience
from tframex.exchange._request import sending_options
from tframex.exchange._retry import DEFAULT_WAIT, RetryBudget

__all__ = ["EventExchange", "EventRequest"]

log = get_logger("tframex.client")

_OF_STREAMS = frozenset({"stream", "starting_after", "include_obfuscation"})


@dataclass(frozen=True)
class EventRequest:
    """A request for the events of a response.

    Attributes:
        model: The served model's name, for error messages; a response that is retrieved does not say.
        stored: The endpoint keeps the response's events, so that they can be asked for again.
        response_id: What the endpoint calls the response; empty as long as it is not there.
        after: The number of the event after which they are wanted; None: all.
        query: Further parameters of a request that retrieves.
        transport: Keywords for the official client that are not body fields.
        plain: The response is wanted, without its events.
    """

    model: str
    stored: bool
    response_id: str = ""
    after: int | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    transport: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False

    def keywords(self) -> dict[str, Any]:
        """The keywords for the official client's `get`."""
        options = sending_options(self.transport)
        after = {} if self.after is None else {"starting_after": self.after}
        params = {**(options.get("params") or {}), **self.query, "stream": True, **after}
        if self.plain:
            params = {name: value for name, value in params.items() if name not in _OF_STREAMS}
        path = f"/responses/{quote(self.response_id, safe='')}"
        return {"path": path, "options": {**options, "params": params}, "stream": True}


@dataclass(frozen=True)
class _Step:
    kind: Literal["fresh", "retrieve"]
    request: EventRequest
    delay: float = 0.0


class EventExchange:
    """The state of one response whose first request has been sent.

    Args:
        request: What the user asks.
        decode: Decodes deltas.
        text: The class of its deltas that are text of the output.
        budget: The retries that are left.
        model_id: For error messages.
        max_retries: How many requests in a row may fail without returning anything.
        resume: Whether a broken stream is continued.
        wait: How long to wait between requests.
        observer: Notified of what happens.

    Attributes:
        trail: What has arrived.
        resumes: How often the stream was continued.
        closed: The reader has left: what follows from closing the connection is no break.
        response: What is being read, so that another task or thread can close it.
    """

    def __init__(
        self,
        request: EventRequest,
        decode: DeltaDecoder,
        text: type,
        *,
        budget: RetryBudget,
        model_id: str,
        max_retries: int = 2,
        resume: ResumeMode = "auto",
        wait: tenacity.wait.wait_base = DEFAULT_WAIT,
        observer: Observer | None = None,
    ) -> None:
        self.request = request
        self.observer = observer or Observer()
        self.trail = EventTrail(request.response_id)
        self.resumes = 0
        self.tail = Arrival()
        self.closed = False
        self.response: Any = None
        self._decode = decode
        self._text = text
        self._model_id = model_id
        self._resume = resume
        self._patience = Patience(budget, max_retries, wait)
        self._break: ModelError | None = None
        self._empty = 0
        self._step = _Step("fresh", request)
        self.reader: EventReader | StatusReader = self._reading(joined=False)

    def leave(self) -> None:
        """Note that the reader has left: an error that closing the connection causes is not a break."""
        self.closed = self.reader.over = True

    # -- what the driver asks ------------------------------------------------------------------------------------

    def first(self) -> _Step:
        """The request that has been sent."""
        return self._step

    @property
    def further(self) -> bool:
        """Whether the request to come is not the first of this response."""
        return bool(self.resumes)

    def sending(self) -> None:
        """Note that the request of the last step is about to be sent."""
        self.observer.sent("fresh" if self._step.kind == "fresh" else "continue")

    def probed(self, owner: str) -> _Step | None:
        """Never called: no response depends on who serves the model, since it is stored or it is not."""
        raise NotImplementedError

    def ended(self, error: ModelError | None) -> _Step | None:
        """Note that a request has ended, by itself (None) or by a failure, and say what to send next.

        Returns:
            The next request, or None: the response is complete.

        Raises:
            ModelError: It is not complete and nothing can be done about it.
        """
        if self.closed:
            return None
        if self.reader.complete or self.reader.failed or self._is_marked():
            self._patience.success()
            return None
        error = error or self.reader.lack()
        self.observer.broke_off(error)
        trail = self.trail
        error.partial = trail.text
        if self.resumes and isinstance(error, ModelStatusError) and error.status_code in (400, 404, 405, 422):
            raise self._refused(error)
        self._break = error
        plain = self._is_at_the_end()
        harmless = bool(self.request.response_id) or self._step.kind == "retrieve"
        grown, allows = self.reader.events, self._patience.allows
        if not self._continuable() or not (plain or allows(error, grown, joinable=True, harmless=harmless)):
            raise self._final(error)
        self.resumes += 1
        delay = self._patience.delay(error)
        after = self.request.after if trail.last is None else trail.last
        log.info("asking for the rest", model=self._model_id, error=type(error).__name__, after=after)
        self.observer.resumed(error, how="continue", tokens=trail.count, delay=delay)
        transport = {name: value for name, value in self.request.transport.items() if name != "extra_headers"}
        headers = self.request.transport.get("extra_headers") or {}
        # The key of the request that made the response is not that of one that retrieves it.
        transport["extra_headers"] = {k: v for k, v in headers.items() if k.lower() != "idempotency-key"}
        request = replace(self.request, response_id=trail.response_id, after=after, transport=transport, plain=plain)
        self._step = _Step("retrieve", request, delay)
        trail.rejoin()
        self.reader = StatusReader(self._model_id) if plain else self._reading(joined=bool(trail.count))
        return self._step

    # -- decisions -----------------------------------------------------------------------------------------------

    def _is_at_the_end(self) -> bool:
        """Whether nothing may be all that follows the event after which the user asked: the response's status tells.

        Only if nothing has come twice: a proxy may have ended the body.
        """
        if self.trail.count or self.request.after is None or not self.reader.empty:
            return False
        self._empty += 1
        return self._empty == 2 or (self._empty == 1 and not self._patience.max_retries)

    def _refused(self, refusal: ModelStatusError) -> ModelError:
        """The error for an endpoint that refuses to send the rest: the break, which the user should hear of first."""
        broken = self._break or refusal
        log.info(
            "the rest was refused", model=self._model_id, status=refusal.status_code, response=self.trail.response_id
        )
        found = self._final(broken)
        if broken is not refusal:
            found.args = (f"{found.args[0]} The endpoint refused to send the rest: {refusal.args[0]}",)
        if found is not broken is not refusal:
            refusal.__context__, refusal.__cause__ = refusal.__cause__, broken
            found.__cause__ = refusal
        return found

    def _final(self, error: ModelError) -> ModelError:
        found, name = final(error, self.trail, self._model_id), self.trail.response_id
        if self.request.stored and name and self.trail.background is not False:
            found.args = (
                f"{found.args[0]} The response is {name!r}: responses.retrieve() may still return all of it.",
            )
        return found

    def _reading(self, *, joined: bool) -> EventReader:
        return EventReader(self.trail, self._decode, self._text, self._model_id, joined=joined, observer=self.observer)

    def _is_marked(self) -> bool:
        """Whether `[DONE]` is all the end there is.

        A server that reports what becomes of a response reports its end too. Others have nothing but the mark; if nothing
        came before it, only the official client takes it for an answer.
        """
        trail = self.trail
        return self.reader.marked and not trail.reported and (trail.anything or self._resume == "never")

    def _continuable(self) -> bool:
        """Whether what is missing can be asked for, and would be noticed if it did not come."""
        trail = self.trail
        if self._resume != "auto" or not self.request.stored or trail.background is False:
            return False
        if not trail.count:
            # A response that is retrieved has its name from the beginning.
            return bool(trail.response_id)
        return bool(trail.response_id) and trail.numbered
