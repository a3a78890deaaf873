"""How a system reads a long text: one run of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread

from tframex._checks import check_count
from tframex.agents import AgentModel, BaseAgent
from tframex.agents.base import check_prompt
from tframex.chunking import check_budget
from tframex.errors import ConfigurationError
from tframex.events import Event, RunFinished
from tframex.files import Journal
from tframex.model import BaseModel
from tframex.systems._identity import call_key
from tframex.systems._meter import ProgressMeter
from tframex.systems._stopped import stopped
from tframex.systems.base import BaseSystem
from tframex.systems.executor import Executor
from tframex.systems.reading._asking import ask_manager
from tframex.systems.reading._fitting import Fitting
from tframex.systems.reading._plan import ReadingPlan, described, user
from tframex.systems.reading._reporting import Reporting
from tframex.systems.reading._step_runner import Request, StepRunner
from tframex.systems.reading.budget import Budget
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.systems.reading.record import LongTextResult, Step
from tframex.systems.reading.sources import find_sources
from tframex.tasks import Closing, Limit, ProgressCallback, emitted
from tframex.tokens import TokenCounter, default_counter

__all__ = ["ReadingSystem"]


class ReadingSystem(BaseSystem):
    """What a `LongTextSystem` does in one run; its arguments are those of that class."""

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | BaseAgent | None = None,
        manager: BaseModel | BaseAgent | None = None,
        max_concurrency: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(system_id, model)
        if chunk_overlap is not None:
            check_count("chunk_overlap", chunk_overlap, least=0, unit="tokens")
        if chunk_size is not None:
            check_budget(chunk_size, chunk_overlap or 0)
        if max_notes is not None:
            check_count("max_notes", max_notes, unit="tokens")
        if prompts is not None and not isinstance(prompts, LongTextPrompts):
            raise ConfigurationError(f"prompts must be a LongTextPrompts object, not {type(prompts).__name__}")
        self.chunk_size = chunk_size
        self.chunk_overlap = chunk_overlap
        self.max_notes = max_notes
        self.prompts = prompts or LongTextPrompts()
        self.worker = self.model if worker is None else AgentModel.of("system_id", system_id, worker)
        self.manager = self.model if manager is None else AgentModel.of("system_id", system_id, manager)
        if max_concurrency != "auto":
            check_count("max_concurrency", max_concurrency, instead='or "auto"')
        self.max_concurrency = max_concurrency
        self._limit = None if max_concurrency == "auto" else Limit(max_concurrency)
        self._counter = counter

    async def _events(
        self,
        task: str,
        text: str,
        progress: ProgressCallback | None,
        checkpoint: str | Path | None,
        options: dict[str, Any],
        *,
        shown: bool,
    ) -> AsyncGenerator[Event, None]:
        task = check_prompt(task, "initial_prompt")
        text = check_prompt(text, "long_text")

        async def work(emit: Callable[[Event], None]) -> None:
            with ExitStack() as open_files:
                journal = None
                if checkpoint is not None:
                    key = call_key(self.manager, options, type(self).__name__, self._settings(), task, text)
                    journal = open_files.enter_context(await anyio.to_thread.run_sync(Journal, checkpoint, key))
                executor = Executor(ProgressMeter(0, None), self._limit)
                async with Reporting(progress) as reporting:
                    runner = StepRunner(executor, journal, emit, reporting.put, self.worker.counter, shown=shown)
                    result = await self._result(runner, task, text, options)
                if reporting.error is not None:
                    raise stopped(reporting.error, "texts of steps", runner.texts, {})
                emit(RunFinished(result))

        async with Closing(emitted(work)) as events:
            async for event in events:
                yield event

    async def _result(self, runner: StepRunner, task: str, text: str, options: dict[str, Any]) -> LongTextResult:
        asked = self.worker.counter.requests + self.manager.counter.requests
        await runner.begin(partial(self._first_budget, task, options))
        counter = self._counter or default_counter()
        plan = ReadingPlan(
            task=task,
            text=text,
            worker=self.worker,
            manager=self.manager,
            prompts=self.prompts,
            counter=counter,
            options=options,
            fitting=Fitting(self.worker, counter, self.chunk_size),
            runner=runner,
        )
        answer, answers = await self._work(plan)
        output = plan.output
        spans = sorted({(step.start, step.end) for step in runner.steps if step.end})
        return LongTextResult(
            text=answer.text,
            steps=tuple(runner.steps),
            answers=tuple(answers),
            sources=await anyio.to_thread.run_sync(find_sources, answer.text, text, spans),
            counting_requests=self.worker.counter.requests + self.manager.counter.requests - asked,
            context_window=runner.budget.reading,
            finish_reason=answer.finish_reason,
            output=None if output is None else output.parse(answer.text),
            warnings=tuple(f"{step.kind}: {warning}" for step in runner.steps for warning in step.warnings),
        )

    async def _first_budget(self, task: str, options: dict[str, Any]) -> Budget:
        window = await self.worker.window()
        final = await self.manager.window() if self.manager is not self.worker else window
        budget = Budget.first(
            window,
            final,
            notes=self.max_notes,
            writing=self.worker.answer_tokens(options),
            answer=self.manager.answer_tokens(options),
        )
        fixed = self.manager.counter.count_messages(user(self.prompts.manager.format(task=task, notes="")))
        fixed += described(self.manager, options)
        asked = options.get("max_tokens") or options.get("max_completion_tokens")
        return budget.with_answer(fixed, asked=asked is not None)

    async def _final(
        self,
        plan: ReadingPlan,
        name: str,
        kind: str,
        prompt: str,
        *,
        path: int = 0,
        span: tuple[int, int] = (0, 0),
        tokens: int = 0,
        streamed: bool = True,
    ) -> Step:
        """A step of the manager's."""
        limit = "max_completion_tokens" if plan.options.get("max_completion_tokens") is not None else "max_tokens"
        request = Request(kind, self.manager, user(prompt), plan.options, limit, path, span, tokens, streamed)
        return await ask_manager(plan, name, request)

    @abstractmethod
    async def _work(self, plan: ReadingPlan) -> tuple[Step, list[str]]:
        """Read the text and answer: the step that did, and with several readings the answer of each."""

    def _settings(self) -> dict[str, Any]:
        """Whatever makes it another job."""
        return {
            "worker": self.worker.shaping({}),
            "chunk_size": self.chunk_size,
            "chunk_overlap": self.chunk_overlap,
            "max_notes": self.max_notes,
            "prompts": repr(self.prompts),
            "counter": getattr(self._counter, "name", type(self._counter).__qualname__),
        }

    def _overlap(self, tokens: int) -> int:
        if self.chunk_overlap is None:
            return min(100, tokens // 4)
        return min(self.chunk_overlap, tokens // 2)
