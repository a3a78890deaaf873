"""One call of a model: checked, sent, assembled."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import anyio

from tframex.completion import Completion, Delta, Timings, Usage
from tframex.events import Event, TextPiece, pieces_of
from tframex.exchange import Arrival, ChunkUsage, Clocks, Exchange, Pace, drive, timed_out
from tframex.model._connection import Connection
from tframex.model._joined import joined
from tframex.model._reports import Reports
from tframex.tasks import Closing, Limit, Place
from tframex.text import RepetitionGuard

__all__ = ["ModelCall"]


class ModelCall:
    """Runs one exchange on a connection.

    Args:
        exchange: The request and the state of its answer.
        clocks: Time limits.
        model_id: For the completion.
        limit: The limit on calls in flight, where it waits for its place.
        max_repeats: How many copies of a passage in a row end the answer, or None.
        pace: How often the answer is read; None: whenever something arrives.
    """

    __slots__ = (
        "_clocks",
        "_exchange",
        "_first",
        "_guards",
        "_limit",
        "_max_repeats",
        "_model_id",
        "_pace",
        "_repeated",
        "_reports",
        "_restarts",
        "_started",
    )

    def __init__(
        self,
        exchange: Exchange,
        clocks: Clocks,
        model_id: str,
        limit: Limit,
        max_repeats: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._exchange = exchange
        self._clocks = clocks
        self._model_id = model_id
        self._limit = limit
        self._max_repeats = max_repeats
        self._pace = pace
        self._started = time.perf_counter()
        self._first: float | None = None
        self._repeated = False
        self._guards: tuple[RepetitionGuard, RepetitionGuard] | None = None
        """One for the text and one for separate reasoning."""
        self._restarts = 0
        self._reports: Reports | None = None

    def begin_with(self, text: str, tokens: int) -> None:
        """Continue from what an earlier run of this call has received."""
        self._exchange.begin_with(text, tokens)

    def reading(self, connection: Connection) -> Reading:
        """What arrives of the answer, while it is read; before each further request there is an empty arrival.

        Args:
            connection: Where to send the requests.
        """
        return Reading(self, connection)

    def report(self, step: str = "answer") -> None:
        """Keep what happens to the requests, for `happened`.

        Args:
            step: Which step of a run this call is.
        """
        self._reports = Reports(step, self._exchange.observer)
        self._exchange.observe(self._reports)

    def happened(self, batch: Arrival) -> list[Event]:
        """What has happened until an arrival, and what the reader gets of it, as events."""
        assert self._reports is not None
        events, step = self._reports.take(), self._reports.step
        for piece in self.shown(batch):
            if isinstance(piece, str):
                events.append(TextPiece(piece, step))
            else:
                events += pieces_of(piece, step)
        return events

    def shown(self, batch: Arrival) -> Sequence[Delta | str]:
        """What the reader gets of an arrival; plain text of the only choice as a string, at a pace each run of it joined.

        An answer that loops ends behind it.
        """
        pieces = batch.pieces
        if self._first is None and pieces:
            self._first = time.perf_counter() - self._started
        if self._max_repeats is not None and self._loops(pieces, self._max_repeats):
            # The driver closes the connection, and the server stops generating.
            self._exchange.leave()
            self._repeated = True
        return pieces if self._pace is None else list(joined(pieces))

    def _loops(self, pieces: Sequence[Delta | str], repeats: int) -> bool:
        """Whether the answer loops; the completion is then cut before the second copy."""
        if self._guards is None or self._restarts != self._exchange.restarts:
            self._restarts = self._exchange.restarts
            self._guards = (RepetitionGuard(repeats), RepetitionGuard(repeats))
        for delta in pieces:
            texts = (delta,) if isinstance(delta, str) else (delta.content, delta.reasoning)
            for thinking, text in enumerate(texts):
                if text and (end := self._guards[thinking].feed(text)) is not None:
                    self._exchange.answer.cut(end, "repetition", thinking=bool(thinking))
                    return True
        return False

    async def begin(self, connection: Connection) -> tuple[Place, AsyncGenerator[Arrival, None]]:
        """Wait for a place among the calls in flight; the first request is sent when the first arrival is asked for."""
        try:
            place, clocks = await self._wait_for_place()
        except TimeoutError as exc:
            raise timed_out("total", model_id=self._model_id, seconds=self._clocks.total) from exc
        return place, drive(self._exchange, connection.endpoint, clocks, pace=self._pace)

    async def _wait_for_place(self) -> tuple[Place, Clocks]:
        """Waiting for a place is part of the total time."""
        total = self._clocks.total
        if total is None:
            return await self._limit.enter(), self._clocks
        with anyio.fail_after(total - (time.perf_counter() - self._started)):
            place = await self._limit.enter()
        return place, replace(self._clocks, total=max(0.0, total - (time.perf_counter() - self._started)))

    def completion(self) -> Completion:
        """The complete answer; only after the last arrival."""
        exchange = self._exchange
        usage, estimated = exchange.usage()
        return Completion(
            choices=exchange.answer.choices(),
            model_id=self._model_id,
            usage=None if usage is None else _usage(usage, estimated=estimated),
            timings=Timings(self._first, time.perf_counter() - self._started),
            retries=exchange.retries,
            resumes=exchange.resumes,
            evidence=("repetition",) if self._repeated else exchange.evidence(),
        )


class Reading:
    """What arrives of an answer; its call has a place among those in flight meanwhile.

    Args:
        call: The call.
        connection: Where to send the requests.
    """

    def __init__(self, call: ModelCall, connection: Connection) -> None:
        self._call = call
        self._connection = connection

    async def __aenter__(self) -> Closing[Arrival]:
        self._place, arrivals = await self._call.begin(self._connection)
        self._arrivals = Closing(arrivals)
        return self._arrivals

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._arrivals.__aexit__(*exc_info)
        finally:
            self._place.leave()


def _usage(usage: ChunkUsage, *, estimated: bool) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=prompt.cached_tokens if prompt else None,
        reasoning_tokens=completion.reasoning_tokens if completion else None,
        estimated=estimated,
    )
