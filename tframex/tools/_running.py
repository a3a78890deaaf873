"""The calls of one step while they run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token

from tframex.completion import ToolCall
from tframex.errors import ToolError
from tframex.events import Event, ToolProgress, ToolResult, ToolStarted
from tframex.tasks import call_user, is_cancelled
from tframex.tools._context import ToolContext
from tframex.tools._decisions import approval_needed, uncertain
from tframex.tools._failures import AskAgain, ToolFailure
from tframex.tools._outcome import ToolOutcome
from tframex.tools._recorder import CallRecorder, Recalled
from tframex.tools._result import as_text
from tframex.tools._tool import Tool

if TYPE_CHECKING:
    from tframex.tools._toolset import Toolset

__all__ = ["RunningCalls"]

# Threads for the synchronous tools of one step. They are not anyio's own, of which a tool that runs an agent with
# synchronous tools would keep one and wait for another.
_THREADS = 40


@dataclass
class _Ready:
    """A call that is about to run."""

    call: ToolCall
    tool: Tool[..., Any]
    arguments: dict[str, Any]
    recalled: Recalled


class RunningCalls:
    """Runs the calls of one step.

    Args:
        toolset: The tools.
        deps: What the tools get as `ToolContext.deps`.
        run_id: The run.
        step: The step.
        recorder: Where the calls are written down.
        emit: Receives the events.
    """

    def __init__(
        self,
        toolset: Toolset,
        deps: Any,
        run_id: str,
        step: str,
        recorder: CallRecorder,
        emit: Callable[[Event], None] | None,
    ) -> None:
        self._toolset = toolset
        self._deps = deps
        self._run_id = run_id
        self._step = step
        self._recorder = recorder
        self._emit = emit
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolOutcome]:
        """What became of each call, in their order. Raises what `Toolset.run` raises."""
        outcomes: dict[int, ToolOutcome] = {}
        ready: dict[int, _Ready] = {}
        for position, (call, recalled) in enumerate(
            zip(calls, await self._recorder.recall(self._step, calls), strict=True)
        ):
            if recalled.outcome is not None:
                outcomes[position] = replace(recalled.outcome, call=call, from_checkpoint=True)
                self._tell(outcomes[position])
            else:
                found = await self._prepare(call, recalled)
                if isinstance(found, _Ready):
                    ready[position] = found
                else:
                    outcomes[position] = found
        await self._ask(list(ready.values()))
        for outcome in outcomes.values():
            if not outcome.from_checkpoint:
                await self._settle(outcome)
        outcomes |= await self._all(ready)
        return [outcomes[position] for position in range(len(calls))]

    async def _prepare(self, call: ToolCall, recalled: Recalled) -> _Ready | ToolOutcome:
        """The call with its tool and arguments, or what is wrong with it."""
        tool = self._toolset.get(call.name)
        if tool is None:
            if recalled.key is not None:
                raise uncertain([call], self._recorder, f"there is no tool {call.name} any more")
            names = ", ".join(self._toolset.names) or "none"
            return ToolOutcome(call, f"There is no tool {call.name!r}. The tools are: {names}.", failed=True)
        try:
            arguments = tool.read(call.arguments)
        except AskAgain as problem:
            return ToolOutcome(call, str(problem), failed=True)
        return _Ready(call, tool, arguments, recalled)

    async def _ask(self, ready: list[_Ready]) -> None:
        """Raise if a person has to decide something, before anything runs."""
        asked = [
            item
            for item in ready
            if item.recalled.key is not None and item.tool.on_uncertain == "ask" and not item.recalled.decided
        ]
        if asked:
            errors = [item.recalled.error for item in asked if item.recalled.error]
            raise uncertain([item.call for item in asked], self._recorder, "; ".join(errors))
        waiting: list[ToolCall] = []
        for item in ready:
            # A call that has begun was approved then.
            if item.recalled.key is None and not item.recalled.decided and item.tool.approve:
                try:
                    needed = item.tool.needs_approval(item.arguments)
                except Exception as exc:
                    raise self._error(item, exc, "the function that says whether it needs approval") from exc
                if needed:
                    waiting.append(item.call)
        if waiting:
            await self._recorder.wait_for(self._step, waiting)
            raise approval_needed(waiting, self._recorder)

    async def _all(self, ready: dict[int, _Ready]) -> dict[int, ToolOutcome]:
        """Run them concurrently. What one raises stops the others, and is raised as it is."""
        if len(ready) <= 1:
            return {position: await self._one(item) for position, item in ready.items()}
        outcomes: dict[int, ToolOutcome] = {}
        failures: list[BaseException] = []

        async def work(position: int, item: _Ready) -> None:
            try:
                outcomes[position] = await self._one(item)
            except BaseException as error:
                if isinstance(error, anyio.get_cancelled_exc_class()):
                    raise
                # SystemExit, too: on asyncio it would end the event loop, and no group may wrap what arrives.
                failures.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for position, item in ready.items():
                group.start_soon(work, position, item)
        if failures:
            raise failures[0]
        for position, item in ready.items():
            if position not in outcomes:
                raise self._error(item, asyncio.CancelledError(), "it")
        return outcomes

    async def _one(self, item: _Ready) -> ToolOutcome:
        call, recalled = item.call, item.recalled
        key = await self._recorder.begin(self._step, call, recalled.key)
        report = _Report(self._emit, call, self._step)
        context = ToolContext[Any](self._deps, self._run_id, self._step, key, call, item.arguments, report)
        if self._emit is not None:
            self._emit(ToolStarted(call, self._step))
        try:
            text = await self._happened(item, context) if recalled.key is not None else None
            if text is None:
                text = await item.tool.run(item.arguments, context, limiter=self._threads())
            outcome = ToolOutcome(call, text)
        except ToolFailure as told:
            outcome = ToolOutcome(call, str(told) or f"{call.name} has failed", failed=True)
        except (Exception, anyio.get_cancelled_exc_class()) as exc:
            if not isinstance(exc, Exception) and is_cancelled():
                raise
            with anyio.CancelScope(shield=True):
                await self._recorder.broke(self._step, call, exc)
            raise self._error(item, exc, "it") from exc
        finally:
            report.over = True
        await self._settle(outcome)
        return outcome

    async def _happened(self, item: _Ready, context: ToolContext[Any]) -> str | None:
        """What the tool's own check says of an uncertain call: its result, or None if it has not happened."""
        look = item.tool.on_uncertain
        if not callable(look) or item.recalled.decided:
            return None
        value = await call_user(look, context, limiter=self._threads())
        return None if value is None else as_text(value, item.tool.name)

    async def _settle(self, outcome: ToolOutcome) -> None:
        # Also where another tool's failure has just cancelled this task: the call has taken effect.
        with anyio.CancelScope(shield=True):
            await self._recorder.finish(self._step, outcome)
        self._tell(outcome)

    def _tell(self, outcome: ToolOutcome) -> None:
        if self._emit is not None:
            self._emit(ToolResult(outcome.call, outcome.content, self._step, outcome.failed, outcome.from_checkpoint))

    def _threads(self) -> anyio.CapacityLimiter:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        return self._limiter

    def _error(self, item: _Ready, exc: BaseException, what: str) -> ToolError:
        return ToolError(
            f"the tool {item.tool.name} ended the run: {what} raised {type(exc).__name__}: {exc}. What the model should "
            "know and put right, raise as tframex.tools.AskAgain or ToolFailure.",
            tool=item.tool.name,
            calls=(item.call,),
            path=self._recorder.path,
        )


class _Report:
    """Passes the progress of a tool on, from whatever thread it reports in."""

    def __init__(self, emit: Callable[[Event], None] | None, call: ToolCall, step: str) -> None:
        self.over = False
        """Whether the call has ended: a thread that was left alone may still report."""
        self._emit = emit
        self._call = call
        self._step = step
        self._thread = threading.get_ident()
        self._token = current_token()

    def __call__(self, text: str) -> None:
        if self._emit is None or self.over:
            return
        if threading.get_ident() == self._thread:
            self._pass(text)
        else:
            anyio.from_thread.run_sync(self._pass, text, token=self._token)

    def _pass(self, text: str) -> None:
        if self._emit is not None and not self.over:
            self._emit(ToolProgress(self._call, text, self._step))
