"""One run of an agent with tools."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec.structs import replace as replaced

from tframex.agents._recorded_answer import recorded_answer
from tframex.agents._tool_history import ToolHistory, is_object
from tframex.agents._tool_limits import Limits, Spent
from tframex.agents._tool_results import Reader, ResultLimit, shortened
from tframex.completion import Completion, ToolCall
from tframex.errors import ApprovalNeeded, ContextLengthError, ModelError, OutputValidationError, UncertainCallError
from tframex.events import Event, RunFinished, StepFinished, ToolResult, in_step
from tframex.model import BaseModel, Output
from tframex.tasks import Closing, call_user, emitted
from tframex.tools import CallRecorder, Toolset

__all__ = ["ToolRun"]

# What is left of the window for an answer, at least: a part of it, or so many tokens.
_ROOM, _PART = 1024, 4
_CANCELLED = "The call was stopped before it had ended; it may have taken effect or not."
_NOT_RUN = "The call was not run."


@dataclass
class ToolRun:
    """Asks the model, calls the tools that it asks for, and asks again, until it answers.

    Args:
        agent_id: For error messages.
        model: The model.
        tools, definitions: The tools, and as the API has them.
        history: The conversation; the prompt is its last message.
        prompt: The question, for whoever reads a long result.
        limits: What the run may take.
        output: The type of the answer; None: text.
        max_output_retries: How often an answer that is not of this type is asked for again.
        choices: What the first answers have to be; see `BaseModel.act`. The others are `"auto"`.
        deps: What the tools get.
        reader: Reads results that are too long, or None.
        restart: Whether an answer that breaks off may start over.
        shown: Whether answers are shown while they grow.
        options: Options of the model.
        recorder: Where answers and calls are written down.
    """

    agent_id: str
    model: BaseModel
    tools: Toolset
    definitions: Sequence[dict[str, Any]]
    history: ToolHistory
    prompt: str
    limits: Limits
    output: Output[Any] | None
    max_output_retries: int
    choices: Sequence[str]
    deps: Any
    reader: Reader | None
    restart: bool
    shown: bool
    options: dict[str, Any]
    recorder: CallRecorder = field(default_factory=CallRecorder)

    def __post_init__(self) -> None:
        self._spent = Spent(self.limits, self.agent_id, self.history.messages)
        self._run_id = self.recorder.run_id or uuid.uuid4().hex
        self._output_retries = 0
        self._results = ResultLimit(self.model)
        self._known: int | None = None
        self._asked = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens until the answer is there."""
        while True:
            step = self._spent.next_step()
            answer = recorded_answer(self.recorder, step, self._spent.completions, self._answer)
            async with self._spent.within(answer) as events:
                async for event in events:
                    yield event
            completion = self._spent.completions[-1]
            calls = self._complete_calls(completion)
            finished = None if calls else self._finished(completion)
            # Only now: what has just been refused is asked for again by a run that continues.
            await self.recorder.answered(step, completion)
            if not calls:
                if finished is None:
                    continue
                self.history.answered(completion)
                await self.recorder.end(finished.text)
                yield RunFinished(finished)
                return
            self._spent.note_calls(len(calls))
            async with self._spent.within(self._calls(step, completion.text, calls)) as events:
                async for event in events:
                    yield event

    # -- the model -------------------------------------------------------------------------------------------------------

    async def _answer(self, step: str) -> AsyncGenerator[Event, None]:
        """One answer of the model, with old results shortened until the request fits."""
        number, certain = len(self._spent.completions), True
        choice = self.choices[number] if number < len(self.choices) else "auto"
        while True:
            window = await self._window()
            room = _ROOM if window is None else min(_ROOM, window // _PART)
            acting = self.model.act(
                self.history.sent,
                tools=self.definitions,
                choice=choice,
                output=self.output,
                restart=self.restart,
                shown=self.shown,
                room=room,
                certain=certain,
                **self.options,
            )
            try:
                async with Closing(acting) as events:
                    async for event in events:
                        if isinstance(event, RunFinished):
                            self._spent.completions.append(event.result)
                            yield StepFinished(step, "answer", event.result)
                        else:
                            yield in_step(event, step, "answer")
                return
            except ContextLengthError as error:
                if not self._condense(error, room):
                    if not certain or error.status_code:
                        raise
                    # Nothing is left to leave out: it probably fits all the same.
                    certain = False

    async def _window(self) -> int | None:
        """The window. An endpoint that cannot say it now is not asked at each step."""
        if not self._asked:
            self._asked = True
            with suppress(ModelError):
                self._known = await self.model.window()
        return self._known

    def _condense(self, error: ContextLengthError, room: int) -> bool:
        if error.status_code and error.context_window:
            # The endpoint has refused: its window was unknown, or its tokens could not be counted.
            self.model.note_window(error.context_window)
            self._known = error.context_window
        tokens, window = error.prompt_tokens, error.context_window
        excess = tokens + room - window if tokens and window else room
        return self.history.condense(max(excess, room // 2) / (tokens or window or room))

    def _complete_calls(self, completion: Completion) -> list[ToolCall]:
        """The calls of an answer.

        Raises:
            RunLimitError: The answer was cut off in the middle of a call, or before there was anything.
        """
        calls = list(completion.tool_calls)
        if completion.truncated:
            if calls and not is_object(calls[-1].arguments):
                raise self._cut(completion, f"in the middle of a call of {calls[-1].name or 'a tool'}")
            if not calls and not completion.text.strip():
                raise self._cut(completion, "before the model had written an answer or a call")
        taken = self.history.ids
        # The same in a run that continues, which finds its calls by their ids.
        step = len(self._spent.completions)
        return [replace(call, id=f"{call.id}_{step}") if call.id in taken else call for call in calls]

    def _cut(self, completion: Completion, where: str) -> Exception:
        limit, usage = self.model.answer_tokens(self.options), completion.usage
        said = "its token limit" if limit is None else f"max_tokens={limit}"
        if usage is not None and limit is not None and usage.completion_tokens < limit:
            said = f"{usage.completion_tokens} tokens, since the window had no more left,"
        return self._spent.reached("max_tokens", f"an answer was cut off at {said} {where}, and nothing of it was run")

    # -- the answer ------------------------------------------------------------------------------------------------------

    def _finished(self, completion: Completion) -> Completion | None:
        """The completion of the run; None if the model has been told to correct its answer."""
        value: Any = None
        if self.output is not None:
            try:
                if completion.truncated:
                    raise OutputValidationError(
                        "the answer was cut off before it was complete; raise max_tokens",
                        model_id=self.model.model_id,
                        text=completion.text,
                    )
                value = self.output.parse(completion.text)
            except OutputValidationError as error:
                self._output_retries += 1
                if completion.truncated or self._output_retries > self.max_output_retries:
                    raise
                said = "\n".join(error.errors) or error.args[0]
                self.history.answered(completion)
                self.history.asked(f"{error.args[0]}\n{said}\n\n{self.output.instructions()}")
                return None
        return self._spent.all_in(completion, value)

    # -- the tools -------------------------------------------------------------------------------------------------------

    async def _calls(self, step: str, text: str, calls: list[ToolCall]) -> AsyncGenerator[Event, None]:
        """Run the calls of one answer, and add them to the history with their results, also of those that were stopped."""
        results: dict[str, str] = {}
        long: list[ToolResult] = []
        window = await self._window()
        limits = {call.id: self._limit_of(call, window) for call in calls}

        async def work(emit: Callable[[Event], None]) -> None:
            def passed(event: Event) -> None:
                if isinstance(event, ToolResult):
                    limit = limits.get(event.call.id)
                    if self._results.exceeds(event.content, limit):
                        assert limit is not None
                        cut = shortened(event.content, limit, self.model.counter)
                        results[event.call.id] = cut
                        if self.reader is not None:
                            long.append(event)
                            return
                        event = replaced(event, content=cut)
                    results.setdefault(event.call.id, event.content)
                emit(event)

            await self.tools.run(
                calls, deps=self.deps, run_id=self._run_id, step=step, recorder=self.recorder, emit=passed
            )

        kept, started = True, False
        try:
            async with Closing(emitted(work)) as events:
                async for event in events:
                    started = True
                    yield event
            for result in long:
                results[result.call.id] = await self._read(f"{step}/{result.call.id}", result.content)
                yield replaced(result, content=results[result.call.id])
        except (ApprovalNeeded, UncertainCallError):
            # Nothing has run: a run that continues comes back to these calls.
            kept = False
            raise
        finally:
            if kept:
                missing = _CANCELLED if started else _NOT_RUN
                self.history.called(text, calls, [results.get(call.id, missing) for call in calls])

    def _limit_of(self, call: ToolCall, window: int | None) -> int | None:
        tool = self.tools.get(call.name)
        return self._results.of(None if tool is None else tool.max_result_tokens, window)

    async def _read(self, name: str, text: str) -> str:
        """What a reader finds in a long result."""
        assert self.reader is not None
        run = self.reader.run
        found = await self.recorder.once(name, lambda: call_user(run, self.prompt, text))
        return f"[The result was too long. What it says about the question:]\n{found}"
