"""What the systems for long texts have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tframex._checks import check_count
from tframex._types import Message
from tframex.agents.base import check_parts, check_prompt
from tframex.chunking import check_budget
from tframex.errors import ChunkingError, ConfigurationError, PartialFailureError, TFrameXError
from tframex.files import Journal, content_key
from tframex.model._fit import answer_tokens, fitted
from tframex.model.base import BaseModel
from tframex.systems._job import Job
from tframex.systems.base import BaseSystem
from tframex.systems.reading._fitting import Fitting
from tframex.systems.reading._run import NOTES_SHARE, ReadingPlan, user
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.systems.reading.record import LongTextResult, Step
from tframex.systems.reading.sources import find_sources
from tframex.tasks import Closing, Progress, ProgressCallback, map_bounded
from tframex.text import ThoughtFilter
from tframex.tokens import TokenCounter, default_counter

__all__ = ["LongTextSystem"]

_DEFAULT_ANSWER = 1024
# What shapes the answer does not shape the notes.
_ANSWER_ONLY = frozenset(
    {
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "logprobs",
        "max_completion_tokens",
        "n",
        "parallel_tool_calls",
        "response_format",
        "stop",
        "structured_outputs",
        "tool_choice",
        "tools",
        "top_logprobs",
    }
)


class LongTextSystem(BaseSystem):
    """A system that carries out a task on a text of any length.

    No request has more tokens than the model's window, where the endpoint says how large that is; counted with the served
    model's own tokenizer where the endpoint offers it (see `EndpointCounter`).

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.
        chunk_size: The most tokens of a chunk. None: as many as fit into the window, or 2000 where that is not known.
        chunk_overlap: Tokens that neighbouring chunks share, so that no sentence loses its context. None: 100, but at most
            a quarter of the chunk.
        max_notes: The most tokens of the notes, a quarter of the window at most. None: as many as an answer, but at most an
            eighth of the window.
        counter: What counts chunks; the default uses cl100k.
        prompts: What the models are asked.
        worker: The model that reads and takes notes, if it is not `model`.
        manager: The model that answers, if it is not `model`.
        max_concurrency: Calls in flight at once.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | None = None,
        manager: BaseModel | None = None,
        max_concurrency: int = 16,
    ) -> None:
        super().__init__(system_id, model)
        for other in (worker, manager):
            if other is not None:
                check_parts("system_id", system_id, other)
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
        self.worker = worker or model
        self.manager = manager or model
        self.max_concurrency = check_count("max_concurrency", max_concurrency)
        self._counter = counter

    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> str:
        """Carry out a task on a long text.

        Args:
            initial_prompt: The task: a question, "Summarize this", ...
            long_text: The text.
            progress: Called after each step.
            checkpoint: A file that keeps finished steps: the same call continues after the last of them, and inside the
                unfinished one where the endpoint can.
            **options: Options for the model; `max_tokens` is that of the answer.

        Raises:
            ConfigurationError: The task or the text is empty.
            CheckpointError: The checkpoint is damaged, belongs to another job, or cannot be written.
            ChunkingError: The task, the notes and the answer leave no room for any text.
            ModelError: A call failed.
        """
        result = await self.complete(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        return result.text

    async def complete(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> LongTextResult:
        """As `run`, with every step, what it cost, and where the answer's sentences stand in the text.

        The arguments and errors are those of `run`.
        """
        places = anyio.Semaphore(self.max_concurrency)
        return await self._complete(initial_prompt, long_text, progress, checkpoint, places, options)

    async def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[str, None]:
        """As `run`, with the text of the answer as it comes, once everything is read.

        The arguments and errors are those of `run`.
        """
        places = anyio.Semaphore(self.max_concurrency)
        async with Closing(self._events(initial_prompt, long_text, progress, checkpoint, places, options)) as events:
            async for event in events:
                if isinstance(event, str):
                    yield event

    async def run_many(
        self,
        initial_prompt: str,
        long_texts: Sequence[str],
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> list[LongTextResult]:
        """Carry out one task on several texts at once, with `max_concurrency` calls in flight over all of them.

        Args:
            initial_prompt: The task.
            long_texts: The texts.
            progress: Called after each text.
            checkpoint: A folder that keeps a checkpoint for each text.
            **options: Options for the model; `max_tokens` is that of an answer.

        Returns:
            The results, in the order of the texts.

        Raises:
            ConfigurationError: The task or a text is empty; nothing was sent.
            PartialFailureError: Some texts failed; `results` has the others, by their number as text.
        """
        check_prompt(initial_prompt, "initial_prompt")
        if isinstance(long_texts, str):
            raise ConfigurationError("long_texts must be a list of texts, not one text; for one, use run or complete")
        for number, text in enumerate(long_texts):
            check_prompt(text, f"long_texts[{number}]")
        places = anyio.Semaphore(self.max_concurrency)
        errors: dict[str, Exception] = {}
        results: dict[str, LongTextResult] = {}

        async def one(number: int) -> None:
            path = None if checkpoint is None else Path(checkpoint) / f"{number}.sqlite"
            try:
                results[str(number)] = await self._complete(
                    initial_prompt, long_texts[number], None, path, places, dict(options)
                )
            except ConfigurationError:
                raise
            except TFrameXError as error:
                errors[str(number)] = error
            if progress is not None:
                done = len(results) + len(errors)
                progress(Progress("text", done, len(long_texts), len(errors), detail=f"text {number}"))

        await map_bounded(one, range(len(long_texts)), self.max_concurrency)
        if errors:
            first = next(iter(errors))
            raise PartialFailureError(
                f"{len(errors)} of {len(long_texts)} texts failed, the first of them number {first}: {errors[first]}",
                results=dict(results),
                errors=errors,
            )
        return [results[str(number)] for number in range(len(long_texts))]

    async def _complete(
        self,
        task: str,
        text: str,
        progress: ProgressCallback | None,
        checkpoint: str | Path | None,
        places: anyio.Semaphore,
        options: dict[str, Any],
    ) -> LongTextResult:
        async with Closing(self._events(task, text, progress, checkpoint, places, options)) as events:
            async for event in events:
                if isinstance(event, LongTextResult):
                    return event
        raise AssertionError("a run ends with its result")

    async def _events(
        self,
        task: str,
        text: str,
        progress: ProgressCallback | None,
        checkpoint: str | Path | None,
        places: anyio.Semaphore,
        options: dict[str, Any],
    ) -> AsyncGenerator[str | LongTextResult, None]:
        task = check_prompt(task, "initial_prompt")
        text = check_prompt(text, "long_text")
        asked = self.worker.counter.requests + self.manager.counter.requests
        file = None
        if checkpoint is not None:
            key = content_key(type(self).__name__, self._settings(), task, text, options)
            file = await anyio.to_thread.run_sync(Journal, checkpoint, key)
        try:
            job = Job(self.system_id, file, places, progress, self.worker.counter)
            run = await self._begin(task, text, job, options)
            answers: list[str] = []
            answer = ""
            thoughts = ThoughtFilter()
            async with Closing(self._work(run, job, answers)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Step):
                        answer = piece.text
                    elif said := thoughts.feed(piece):
                        yield said
            if said := thoughts.finish():
                yield said
        finally:
            if file is not None:
                file.close()
        spans = sorted({(step.start, step.end) for step in job.steps if step.end})
        yield LongTextResult(
            text=answer,
            steps=tuple(job.steps),
            answers=tuple(answers),
            sources=await anyio.to_thread.run_sync(find_sources, answer, text, spans),
            counting_requests=self.worker.counter.requests + self.manager.counter.requests - asked,
            context_window=run.reading.window,
        )

    async def _begin(self, task: str, text: str, job: Job, options: dict[str, Any]) -> ReadingPlan:
        window = await self.worker.window()
        final = await self.manager.window() if self.manager is not self.worker else window
        smallest = min(window or 8192, final or 8192)
        notes = self.max_notes or min(answer_tokens(self.worker, options) or _DEFAULT_ANSWER, smallest // NOTES_SHARE)
        if window is not None or final is not None:
            # Two notes and what is written about them must fit into one request.
            notes = max(1, min(notes, smallest // 4))
        answer = await job.remember("answer", partial(self._answer_tokens, task, notes, final, options))
        worker_options = {name: value for name, value in options.items() if name not in _ANSWER_ONLY}
        # A little more than their share: notes that run over it are condensed, not cut off.
        worker_options["max_tokens"] = writing = notes + notes // 4
        manager_options = dict(options)
        if "max_completion_tokens" not in options:
            manager_options["max_tokens"] = answer
        counter = self._counter or default_counter()
        return ReadingPlan(
            task=task,
            text=text,
            worker=self.worker,
            prompts=self.prompts,
            notes=notes,
            writing=writing,
            answer=answer,
            worker_options=worker_options,
            manager_options=manager_options,
            reading=Fitting(self.worker, counter, self.chunk_size, window),
            answering=Fitting(self.manager, counter, self.chunk_size, final),
            counter=counter,
        )

    async def _answer_tokens(self, task: str, notes: int, window: int | None, options: dict[str, Any]) -> int:
        """Tokens the answer may have: what was asked for or, if nobody asked, what the window leaves."""
        answer = answer_tokens(self.manager, options) or _DEFAULT_ANSWER
        if window is None:
            return answer
        fixed = self.manager.counter.count_messages(user(self.prompts.manager.format(task=task, notes="")))
        left = window - fixed - notes
        asked = options.get("max_tokens") or options.get("max_completion_tokens")
        if left < 1 or (asked is not None and answer > left):
            raise ChunkingError(
                f"the task ({fixed} tokens), the notes ({notes}) and the answer ({answer}) leave no room for the text in a "
                f"window of {window} tokens; lower max_tokens or shorten the task"
            )
        return min(answer, left)

    async def _final(
        self, job: Job, name: str, kind: str, prompt: str, run: ReadingPlan, **details: Any
    ) -> AsyncGenerator[str | Step, None]:
        """A step of the manager's, whose answer gets what the window leaves."""
        messages = user(prompt)
        changed = await job.remember(f"{name}/options", partial(self._final_options, messages, run))
        options = {**run.manager_options, **changed}
        async with Closing(job.stream(name, kind, self.manager, messages, options, **details)) as events:
            async for event in events:
                yield event

    async def _final_options(self, messages: list[Message], run: ReadingPlan) -> dict[str, Any]:
        """What fitting has changed of the manager's options."""
        options = await fitted(self.manager, messages, run.manager_options)
        return {name: value for name, value in options.items() if run.manager_options.get(name) != value}

    @abstractmethod
    def _work(self, run: ReadingPlan, job: Job, answers: list[str]) -> AsyncGenerator[str | Step, None]:
        """Read the text and answer: the answer's text as it comes, then its step."""

    def _settings(self) -> dict[str, Any]:
        """Whatever makes it another job."""
        return {
            "models": [self.worker.model_id, self.manager.model_id],
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
