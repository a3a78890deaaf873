"""The calls of one run, all alike: so many at once, each a sample."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion
from tframex.errors import (
    ConfigurationError,
    ContextLengthError,
    ModelError,
    ModelStatusError,
    StreamInterruptedError,
    TFrameXError,
)
from tframex.exchange import DEFAULT_WAIT, is_overload, seconds_to_wait
from tframex.files import PartialFile
from tframex.model._begun import Begun, can_go_on, going_on
from tframex.model._fit import fitted
from tframex.model.base import BaseModel
from tframex.systems._meter import ProgressMeter
from tframex.systems.many.samples import Sample, Samples
from tframex.tasks import Closing, Limit, Place

__all__ = ["Calls", "reason_of"]

log = get_logger("tframex.systems")

# Seconds for which a call is sent again and again to a server that has too much to do, or has gone away.
_PATIENCE = 120.0
# How often an answer that nobody has seen is begun anew.
_ANEW = 2


class Calls:
    """Makes the calls of one run.

    Args:
        name: For logs.
        model: Who is asked.
        limit: How many calls may be in flight.
        meter: Counts and reports.
        warm_prefix: Send the others only when the first has got its first token: by then the server has the common
            beginning of their prompts in its prefix cache.
    """

    def __init__(
        self, name: str, model: BaseModel, limit: Limit, meter: ProgressMeter, *, warm_prefix: bool = False
    ) -> None:
        self.meter = meter
        self._name = name
        self._model = model
        self._limit = limit
        # The requests report to the model's own limit, whichever these calls wait at.
        self._refused = model._shared_limit
        self._refusals = self._refused.refusals
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._texts: dict[int, list[str]] = {}
        self._begun: dict[int, Begun] = {}
        self._cold: anyio.Event | None = anyio.Event() if warm_prefix else None
        self._first: int | None = None
        self.answered = False
        """Whether the server has answered any of them."""
        self.completed = -math.inf
        """When the last whole answer came."""

    async def one(
        self,
        index: int,
        messages: Messages,
        options: dict[str, Any],
        *,
        path: Path | None = None,
        begun: Begun | None = None,
    ) -> Sample:
        """Make call number `index`, and write its answer to `path` as it comes.

        Args:
            index: Its number.
            messages: What is asked.
            options: Options for the model.
            path: The file, or None.
            begun: What an earlier run has brought of the answer.

        Raises:
            ConfigurationError: An option is wrong; it would be for every call.
        """
        text: list[str] = []
        self._texts[index] = text
        if begun is not None:
            self._begun[index] = begun
        started: float | None = None
        completion: Completion | None = None
        failure: Exception | None = None
        with anyio.CancelScope() as scope:
            self._scopes[index] = scope
            try:
                await self._prefix(index)
                async with self._limit.place() as place:
                    started = self.meter.begin()
                    try:
                        with nullcontext() if path is None else PartialFile(path) as file:
                            try:
                                completion = await self._answer(index, place, messages, options, text, file)
                                if file is not None:
                                    # Waiting for the disk must not hold up the other streams of this loop.
                                    await anyio.to_thread.run_sync(file.finish)
                            except Exception as error:
                                if file is not None:
                                    file.fail(str(error))
                                raise
                    finally:
                        self.meter.end()
            except ConfigurationError:
                raise
            except Exception as error:
                if error is self.meter.broken:
                    raise
                # Also what a model of the user's own may raise: the other calls have been paid for.
                failure = error
            finally:
                del self._scopes[index], self._texts[index]
                self._begun.pop(index, None)
                self._warm()
        cancelled = completion is None and failure is None and scope.cancelled_caught
        if failure is not None:
            log.warning("call failed", system=self._name, call=index, error=str(failure))
            if isinstance(failure, ContextLengthError) and failure.context_window:
                self._model._note_window(failure.context_window)
        sample = Sample(
            index,
            completion,
            failure,
            path if failure is None and not cancelled else None,
            "" if completion is not None else "".join(text),
            started or 0.0,
            self.meter.seconds - started if started is not None else 0.0,
            cancelled,
        )
        if not cancelled:
            self.meter.finish(reason_of(failure) if failure else str(path or sample.text), failed=failure is not None)
        return sample

    async def _answer(
        self,
        index: int,
        place: Place,
        messages: Messages,
        options: dict[str, Any],
        text: list[str],
        file: PartialFile | None,
    ) -> Completion:
        """The model's answer; a server that has too much to do is given time."""
        ready = await fitted(self._model, messages, options)
        troubled: float | None = None
        attempt = anew = 0
        while True:
            try:
                async with Closing(going_on(self._model, messages, ready, self._begun.get(index))) as events:
                    async for event in events:
                        place.answered()
                        self.answered = True
                        troubled = None
                        self._warm()
                        if isinstance(event, Completion):
                            self.completed = anyio.current_time()
                            return event
                        if event.content and event.index == 0:
                            if attempt and not text and file is not None:
                                file.clear()
                            text.append(event.content)
                            self.meter.piece()
                            if file is not None:
                                file.write(event.content)
                raise TypeError(f"{type(self._model).__name__}.stream() must end with a Completion")
            except ModelError as error:
                troubled = anyio.current_time() if troubled is None else troubled
                if anyio.current_time() - troubled > _PATIENCE or not self._may_recover(error):
                    raise
                if text:
                    begun = self._begun[index] = Begun("".join(text), self.tokens(index))
                    if not await can_go_on(self._model, ready, begun):
                        anew += 1
                        if file is not None or anew > _ANEW:
                            raise
                    # It comes again, as one piece; or anew, where nobody can have seen it.
                    text.clear()
                attempt += 1
                await anyio.sleep(seconds_to_wait(DEFAULT_WAIT, attempt, error))

    def _may_recover(self, error: ModelError) -> bool:
        """Whether the server has too much to do, or has gone away; one that nobody has heard from yet may not exist."""
        cause = error.__cause__ if isinstance(error, StreamInterruptedError) else error
        return (
            isinstance(cause, ModelError)
            and is_overload(cause)
            and (self.answered or isinstance(cause, ModelStatusError))
        )

    @property
    def alone(self) -> bool:
        """Whether nobody has got a whole answer for a while: what failed then is the server, not one request."""
        return anyio.current_time() - self.completed > _PATIENCE / 2

    def cancel(self) -> None:
        """Stop all calls that are not over: their connections are closed, so that the server stops generating."""
        for scope in self._scopes.values():
            scope.cancel()

    def tokens(self, index: int) -> int:
        """How many events have brought what has arrived of a call in flight."""
        text, begun = self._texts[index], self._begun.get(index)
        return len(text) + (begun.tokens - 1 if begun is not None and text[:1] == [begun.text] else 0)

    def unfinished(self) -> dict[int, list[str]]:
        """The pieces that have arrived of the calls in flight."""
        return {index: text for index, text in self._texts.items() if text}

    @property
    def refusals(self) -> int:
        """How often the server has refused a request because it had too many."""
        return self._refused.refusals - self._refusals

    def samples(self, found: list[Sample]) -> Samples:
        """All calls of the run."""
        ordered = tuple(sorted(found, key=lambda sample: sample.index))
        return Samples(ordered, self.meter.seconds, self.meter.peak, self.refusals)

    async def _prefix(self, index: int) -> None:
        """Wait until the first call has brought the common beginning into the cache, if this is another."""
        if self._cold is None:
            return
        if self._first is None:
            self._first = index
        if self._first != index:
            await self._cold.wait()

    def _warm(self) -> None:
        if self._cold is not None:
            self._cold.set()


def reason_of(error: Exception) -> str:
    """What is said of an error where there is room for text alone."""
    kind = "" if isinstance(error, TFrameXError) else f"{type(error).__name__}: "
    return f"ERROR: {kind}{error}"
