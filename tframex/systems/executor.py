"""The one way in which systems make a call: limit, patience, recorder and progress, together."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio

from tframex.agents import AgentModel, ToolAgent
from tframex.completion import Completion
from tframex.errors import ContextLengthError, ModelError
from tframex.events import (
    CallResumed,
    CallRetried,
    CallStarted,
    Event,
    RunFinished,
    StepFinished,
    TextPiece,
    ToolStarted,
    in_step,
    pieces_of,
)
from tframex.model import BaseModel, can_continue, stream_from, typed_events, unwatched
from tframex.systems._meter import ProgressMeter
from tframex.systems._patience import Patience
from tframex.systems._recorded_call import RecordedCall
from tframex.tasks import Closing, Limit

__all__ = ["Executor"]


class Executor:
    """Makes the calls of one run.

    Each waits for its turn (`limit`, and what the server turns out to take), is sent again for two minutes to a server that
    is busy or unreachable, is continued where it broke off, and is written down by its recorder while it arrives.

    Args:
        meter: Counts the calls and their pieces.
        limit: A bound on the calls of this system.
        shared: Whether the calls also wait at the model's own limit, which adapts to the server.
        warm_prefix: Send the others only when the first has received its first token: by then the server has the common
            beginning of their prompts in its prefix cache.
    """

    def __init__(
        self, meter: ProgressMeter, limit: Limit | None = None, *, shared: bool = True, warm_prefix: bool = False
    ) -> None:
        self.meter = meter
        self.answered = False
        """Whether the server has answered any of the calls."""
        self.in_flight: dict[str, RecordedCall] = {}
        """The calls that have begun and not ended, by their step."""
        self._limit = limit
        self._shared = shared
        self._completed = -math.inf
        self._cold: anyio.Event | None = anyio.Event() if warm_prefix else None
        self._first: str | None = None

    @property
    def alone(self) -> bool:
        """Whether no call was completed for a while: a failure then is the server's, not one request's."""
        return anyio.current_time() - self._completed > Patience().seconds / 2

    async def complete(self, call: RecordedCall) -> Completion:
        """Make a call, and return its answer. Raises what `events` raises."""
        async with Closing(self.events(call)) as events:
            async for event in events:
                if isinstance(event, StepFinished) and event.completion is not None:
                    return event.completion
        raise AssertionError("a call ends with its completion")

    async def events(self, call: RecordedCall) -> AsyncGenerator[Event, None]:
        """Make a call: `CallStarted`, the pieces of its answer, its retries and continuations, `StepFinished`.

        Raises:
            ModelError: There is no complete answer; `call.pieces` and the recorder have what has arrived of it.
            OutputError: It could not be written down.
        """
        self.in_flight[call.step] = call
        try:
            await self._prefix(call.step)
            async with AsyncExitStack() as stack:
                limits = [self._limit, call.model.limit if self._shared else None]
                places = [await stack.enter_async_context(limit.place()) for limit in limits if limit is not None]
                call.started = self.meter.begin()
                failure: BaseException | None = None
                try:
                    call.recorder.open()
                    if not call.fitted and call.options.get("output_type") is None:
                        call.options = await call.model.fit(call.messages, call.options)
                    async with Closing(self._attempts(call)) as events:
                        async for event in events:
                            if not self.answered or places:
                                if isinstance(event, (CallStarted, CallRetried, CallResumed)):
                                    yield event
                                    continue
                                self.answered = True
                                for place in places:
                                    place.answered()
                                places.clear()
                                self._warm()
                            yield event
                except BaseException as error:
                    failure = error
                    raise
                finally:
                    call.recorder.close(failure)
                    self.meter.end()
        finally:
            del self.in_flight[call.step]
            self._warm()

    async def _attempts(self, call: RecordedCall) -> AsyncGenerator[Event, None]:
        """The call, as often as it takes. What was received before a failure is not emitted again after it."""
        recorder, patience = call.recorder, Patience()
        finished = started = acted = False
        failure: ModelError | None = None
        # Whether anything has arrived since the last failure; until then `call.pieces` is what arrived before it.
        fresh = True
        try:
            while True:
                try:
                    async with Closing(_attempt(call)) as events:
                        async for event in events:
                            if isinstance(event, TextPiece):
                                patience.heard()
                                if event.index == 0:
                                    if not fresh:
                                        fresh = True
                                        earlier = call.text
                                        call.forget()
                                        if event.text == earlier:
                                            call.pieces.append(earlier)
                                            call.count = 1
                                            continue
                                        recorder.clear()
                                        if failure is not None and earlier:
                                            yield CallRetried(call.step, failure, 0.0, len(earlier))
                                    call.pieces.append(event.text)
                                    call.count += event.tokens
                                    self.meter.piece(event.tokens)
                                    if recorder.add(event.text):
                                        await recorder.save(call)
                                yield event
                            elif isinstance(event, RunFinished):
                                self._completed = anyio.current_time()
                                await recorder.finish(call, event.result)
                                finished = True
                                yield StepFinished(call.step, call.kind, event.result)
                                return
                            elif isinstance(event, CallStarted):
                                if not started:
                                    started = True
                                    yield event
                            else:
                                acted = acted or isinstance(event, ToolStarted)
                                if isinstance(event, CallRetried) and event.dropped:
                                    call.forget()
                                    recorder.clear()
                                elif not isinstance(event, (CallRetried, CallResumed)):
                                    patience.heard()
                                yield event
                except ModelError as error:
                    delay = patience.delay(error, anyio.current_time(), known=self.answered)
                    if delay is None or acted:
                        # The tools of an agent would run twice.
                        raise
                    failure = error
                    if call.pieces and fresh:
                        fresh = False
                        call.partial = call.received()
                        if not await can_continue(call.model, call.options, call.partial):
                            if not (call.restart and patience.restart()):
                                raise
                            call.partial = None
                    yield CallRetried(call.step, error, delay)
                    await anyio.sleep(delay)
        except ContextLengthError as error:
            _learn(call, error)
            raise
        finally:
            if not finished and call.pieces:
                # Also when the run is cancelled: what has arrived has been paid for.
                with anyio.CancelScope(shield=True):
                    await recorder.save(call)

    async def _prefix(self, step: str) -> None:
        """Wait until the first call has its common beginning in the server's cache, if this is another."""
        if self._cold is None:
            return
        if self._first is None:
            self._first = step
        if self._first != step:
            await self._cold.wait()

    def _warm(self) -> None:
        if self._cold is not None:
            self._cold.set()


async def _attempt(call: RecordedCall) -> AsyncGenerator[Event, None]:
    """One call of the model, as events of the call's step."""
    model, step = call.model, call.step
    if (output_type := call.options.get("output_type")) is not None and not _has_tools(model):
        own = {name: value for name, value in call.options.items() if name != "output_type"}
        typed = typed_events(model, call.messages, output_type, own, shown=call.shown)
        async with Closing(typed) as events:
            async for event in events:
                yield event if isinstance(event, RunFinished) else in_step(event, step, call.kind)
        return
    options = call.options if call.shown else unwatched(model, call.options)
    if call.partial is None or isinstance(model, AgentModel):
        async with Closing(model.events(call.messages, restart=call.restart, **options)) as events:
            async for event in events:
                yield event if isinstance(event, RunFinished) else in_step(event, step, call.kind)
        return
    yield CallStarted(step, call.kind, model.model_id)
    async with Closing(stream_from(model, call.messages, options, call.partial)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Completion):
                yield RunFinished(piece)
                return
            for event in pieces_of(piece, step):
                yield event


def _has_tools(model: BaseModel) -> bool:
    """Whether it is an agent with tools, which corrects its answer within the run: in a new one they would run twice."""
    return isinstance(model, AgentModel) and isinstance(model.agent, ToolAgent)


def _learn(call: RecordedCall, error: ContextLengthError) -> None:
    """What a refusal says of the endpoint's counts and window."""
    model: BaseModel = call.model
    if error.prompt_tokens:
        model.counter.observe(call.messages, error.prompt_tokens)
    if error.context_window:
        model.note_window(error.context_window)
