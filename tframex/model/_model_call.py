"""One call of a model: checked, sent, assembled."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import anyio

from tframex.completion import Completion, Delta, Timings, Usage
from tframex.events import Event, TextPiece, pieces_of
from tframex.exchange import ChunkUsage, Clocks, Exchange, Pace, drive, timed_out
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

    def begin_with(self, text: str, tokens: int) -> None:
        """Continue from what an earlier run of this call has received."""
        self._exchange.begin_with(text, tokens)

    async def events(self, connection: Connection, step: str = "answer") -> AsyncGenerator[list[Event], None]:
        """What happens, as lists of events; pieces of one network read are in one list.

        Args:
            connection: Where to send the requests.
            step: Which step of a run this call is.
        """
        reports = Reports(step, self._exchange.observer)
        self._exchange.observe(reports)
        async with Closing(self.batches(connection)) as batches:
            async for deltas in batches:
                events: list[Event] = [*reports.take()]
                if self._pace is not None:
                    for delta in joined(deltas):
                        events += pieces_of(delta, step)
                else:
                    for piece in deltas:
                        if isinstance(piece, str):
                            events.append(TextPiece(piece, step))
                        else:
                            events += pieces_of(piece, step)
                if events:
                    yield events

    def pieces(self, connection: Connection) -> AsyncGenerator[Sequence[Delta | str], None]:
        """As `batches`; at a pace, each run of text is one piece."""
        return self.batches(connection) if self._pace is None else self._joined(connection)

    async def _joined(self, connection: Connection) -> AsyncGenerator[Sequence[Delta | str], None]:
        async with Closing(self.batches(connection)) as batches:
            async for deltas in batches:
                yield list(joined(deltas))

    async def batches(self, connection: Connection) -> AsyncGenerator[Sequence[Delta | str], None]:
        """The pieces of the answer, as many as each network read returned; plain text of the only choice as a string.

        Before each further request there is an empty batch.
        """
        exchange = self._exchange
        restarts = 0
        guards = self._guards()
        try:
            place, clocks = await self._wait_for_place()
        except TimeoutError as exc:
            raise timed_out("total", model_id=self._model_id, seconds=self._clocks.total) from exc
        try:
            async with Closing(drive(exchange, connection.endpoint, clocks, pace=self._pace)) as batches:
                async for batch in batches:
                    if not batch.chunks:
                        if restarts != exchange.restarts:
                            restarts = exchange.restarts
                            guards = self._guards()
                        yield ()
                    elif deltas := batch.pieces:
                        if self._first is None:
                            self._first = time.perf_counter() - self._started
                        yield deltas
                        if guards and self._loops(guards, deltas):
                            # Leaving closes the connection, and the server stops generating.
                            return
        finally:
            place.leave()

    def _guards(self) -> tuple[RepetitionGuard, RepetitionGuard] | None:
        """One for the text and one for separate reasoning."""
        repeats = self._max_repeats
        return None if repeats is None else (RepetitionGuard(repeats), RepetitionGuard(repeats))

    def _loops(self, guards: tuple[RepetitionGuard, RepetitionGuard], deltas: Sequence[Delta | str]) -> bool:
        """Whether the answer loops; the completion is then cut before the second copy."""
        for delta in deltas:
            pieces = (delta,) if isinstance(delta, str) else (delta.content, delta.reasoning)
            for thinking, piece in enumerate(pieces):
                if piece and (end := guards[thinking].feed(piece)) is not None:
                    self._exchange.answer.cut(end, "repetition", thinking=bool(thinking))
                    self._repeated = True
                    return True
        return False

    async def _wait_for_place(self) -> tuple[Place, Clocks]:
        """Take a place among the calls in flight; waiting for it is part of the total time."""
        total = self._clocks.total
        if total is None:
            return await self._limit.enter(), self._clocks
        with anyio.fail_after(total - (time.perf_counter() - self._started)):
            place = await self._limit.enter()
        return place, replace(self._clocks, total=max(0.0, total - (time.perf_counter() - self._started)))

    def completion(self) -> Completion:
        """The complete answer; only after `batches` has ended."""
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


def _usage(usage: ChunkUsage, *, estimated: bool) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=prompt.cached_tokens if prompt else None,
        reasoning_tokens=completion.reasoning_tokens if completion else None,
        estimated=estimated,
    )
