"""The steps of one run on one long text: made once, decided once, reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from tframex._types import Messages
from tframex.errors import StreamInterruptedError
from tframex.events import CallRetried, Event, ReasoningPiece, StepFinished, TextPiece
from tframex.files import Journal, Row
from tframex.model import BaseModel, EndpointCounter, PartialAnswer
from tframex.systems._identity import call_key
from tframex.systems._recorded_call import RecordedCall
from tframex.systems.executor import Executor
from tframex.systems.reading._journal_recorder import JournalRecorder, step_from_row
from tframex.systems.reading.budget import Budget
from tframex.systems.reading.record import Step
from tframex.tasks import Closing, Progress
from tframex.text import ThoughtFilter

__all__ = ["Request", "StepRunner"]

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What a step asks.

    Attributes:
        kind: What it is for.
        model: Who is asked.
        messages: What is asked.
        options: Options that the user has given.
        limit: The option that says how long the answer may be.
        path: Which reading it belongs to.
        span: Beginning and end of the part of the text it reads.
        tokens: Tokens of the prompt, as measured.
        streamed: Its text is the answer, which is emitted while it arrives.
    """

    kind: str
    model: BaseModel
    messages: Messages
    options: dict[str, Any]
    limit: str = "max_tokens"
    path: int = 0
    span: tuple[int, int] = (0, 0)
    tokens: int = 0
    streamed: bool = False


class StepRunner:
    """Carries out the steps of one run.

    Args:
        executor: Makes the calls.
        journal: Where steps and decisions are kept, or None.
        emit: Takes what happens.
        report: Called after each step.
        meter: What measures the parts: what it has learned decides where the next one ends.
        shown: Pieces of the answer are shown to the caller, so that it cannot start over.
    """

    def __init__(
        self,
        executor: Executor,
        journal: Journal | None,
        emit: Callable[[Event], None],
        report: Callable[[Progress], None],
        meter: EndpointCounter,
        *,
        shown: bool,
    ) -> None:
        self.steps: list[Step] = []
        self.texts: dict[str, str] = {}
        """What the steps have written, by their names."""
        self.planned = 1
        """Steps in all, as far as can be foreseen."""
        self.budgets: list[Budget] = []
        self.emit = emit
        self._executor = executor
        self._journal = journal
        self._report = report
        self._meter = meter
        self._shown = shown
        self._revising = anyio.Lock()

    # -- decisions -----------------------------------------------------------------------------------------------

    async def remember(self, name: str, decide: Callable[[], Awaitable[T]]) -> T:
        """A decision that a continued run must not make again, since by then it may know more: a value for JSON."""
        found = await self.decided(name)
        if found is not None:
            value: T = found.details["value"]
            return value
        value = await decide()
        await self._save(f"decision/{name}", {"value": value, "ratios": self._meter.state()})
        return value

    async def decided(self, name: str) -> Row | None:
        """What an earlier run, or this one, has decided."""
        row = await self._row(f"decision/{name}")
        if row is not None:
            self._meter.restore(row.details["ratios"])
        return row

    async def span(self, name: str, model: BaseModel) -> tuple[int, int] | None:
        """Beginning and end of the part that an earlier run gave to a step: a continued run cuts the text as it did."""
        row = await self._row(name)
        if row is None:
            # One that the endpoint refused and that was read in halves instead.
            halves = await self.decided(f"{name}/halves")
            return None if halves is None else (halves.details["value"][0][0], halves.details["value"][-1][1])
        # What the counter had learned by then decides where the next part ends.
        model.counter.restore(row.details.get("ratios", []))
        return row.start, row.end

    # -- budgets ---------------------------------------------------------------------------------------------------

    @property
    def budget(self) -> Budget:
        """The budget of new steps."""
        return self.budgets[-1]

    async def begin(self, first: Callable[[], Awaitable[Budget]]) -> None:
        """Take over the budgets of an earlier run, or begin with the first."""

        async def decide() -> dict[str, Any]:
            return (await first()).to_json()

        self.budgets.append(Budget(**await self.remember("budget/0", decide)))
        while (row := await self.decided(f"budget/{len(self.budgets)}")) is not None:
            self.budgets.append(Budget(**row.details["value"]))

    async def revise(self, change: Callable[[Budget], Budget]) -> None:
        """Work with another budget from here on, if there is anything to change: a separate decision."""
        async with self._revising:
            revised = change(self.budget)
            if revised != self.budget:
                details = {"value": revised.to_json(), "ratios": self._meter.state()}
                await self._save(f"decision/budget/{revised.number}", details)
                self.budgets.append(revised)

    # -- steps -----------------------------------------------------------------------------------------------------

    async def made(self, name: str) -> bool:
        """Whether the step was begun by an earlier run, or this one."""
        return await self._row(name) is not None

    async def step(self, name: str, request: Request, most: int, budget: Budget) -> tuple[Step, Budget]:
        """Make a call, unless an earlier run has made it; return its step and the budget it was made with.

        Args:
            name: Which step of the run it is.
            request: What is asked.
            most: Tokens the answer may have; an earlier run may have decided otherwise.
            budget: The budget; an earlier run may have had another.

        Raises:
            ModelError: There is no complete answer.
        """
        # What a run decided is not part of the step's identity: a later run may decide otherwise.
        key = call_key(request.model, {**request.options, request.limit: None}, request.messages)
        row = await self._row(name)
        if row is not None and row.key != key:
            row = None
        if row is not None:
            most, budget = row.details["limit"], self.budgets[row.details["budget"]]
        if row is not None and row.done:
            step = step_from_row(row, request.kind, request.path)
            if request.streamed and step.text:
                self.emit(TextPiece(step.text, name))
            finished = StepFinished(name, request.kind, None, True)
        else:
            plain = Step(request.kind, request.path, *request.span, "", request.tokens, most)
            decided = {"limit": most, "budget": budget.number}
            recorder = JournalRecorder(self._journal, key, plain, decided)
            call = RecordedCall(
                name,
                request.kind,
                request.model,
                request.messages,
                {**request.options, request.limit: most},
                None if row is None else PartialAnswer(row.text, row.tokens),
                restart=not (request.streamed and self._shown),
                shown=request.streamed and self._shown,
                fitted=True,
                recorder=recorder,
            )
            finished = await self._call(call, streamed=request.streamed)
            step = recorder.step
        step = _judged(step)
        self.steps.append(step)
        self.texts[name] = step.text
        details = {"start": step.start, "end": step.end, "path": step.path, "warnings": step.warnings}
        self.emit(StepFinished(name, step.kind, finished.completion, finished.from_checkpoint, details))
        self._report(Progress(step.kind, len(self.steps), max(self.planned, len(self.steps)), detail=step.text))
        return step, budget

    async def _call(self, call: RecordedCall, *, streamed: bool) -> StepFinished:
        thoughts = ThoughtFilter()
        emitted = False
        async with Closing(self._executor.events(call)) as events:
            async for event in events:
                if isinstance(event, StepFinished):
                    if streamed and (said := thoughts.finish()):
                        self.emit(TextPiece(said, call.step))
                    return event
                if isinstance(event, TextPiece):
                    if streamed and event.index == 0 and (said := thoughts.feed(event.text)):
                        emitted = True
                        self.emit(TextPiece(said, call.step))
                    continue
                if isinstance(event, CallRetried) and event.dropped:
                    thoughts = ThoughtFilter()
                    if emitted and self._shown and call.options.get("output_type") is None:
                        raise StreamInterruptedError(
                            f"the answer broke off and could not be continued ({event.error})",
                            model_id=call.model.model_id,
                        ) from event.error
                if streamed or not isinstance(event, ReasoningPiece):
                    self.emit(event)
        raise AssertionError("a call ends with its completion")

    async def _row(self, name: str) -> Row | None:
        if self._journal is None:
            return None
        return await anyio.to_thread.run_sync(self._journal.get, name)

    async def _save(self, name: str, details: dict[str, Any]) -> None:
        if self._journal is not None:
            await anyio.to_thread.run_sync(self._journal.put, Row(name, "", 0, 0, True, "", 0, details))


def _judged(step: Step) -> Step:
    """The step with what is wrong with it."""
    if not step.cut:
        return step
    taken = f", {step.thinking} of which its thoughts took" if step.thinking else ""
    return replace(step, warnings=(f"cut off at max_tokens ({step.max_tokens}{taken})",))
