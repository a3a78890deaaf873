"""What the systems for long texts have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from tframex.events import Event, OutputPiece, RunFinished, TextPiece
from tframex.exchange import at_call, hide_values
from tframex.model import Output
from tframex.systems.reading._many_texts import complete_all
from tframex.systems.reading._reading_system import ReadingSystem
from tframex.systems.reading.record import LongTextResult
from tframex.tasks import Closing, ProgressCallback

__all__ = ["LongTextSystem"]

T = TypeVar("T")


class LongTextSystem(ReadingSystem):
    """A system that carries out a task on a text of any length.

    No request has more tokens than the model's window, where the endpoint says how large that is; counted with the served
    model's own tokenizer where the endpoint offers it (see `EndpointCounter`).

    Args:
        system_id: A name for logs and errors.
        model: The model to work with; or an agent, each of whose runs is then a call.
        chunk_size: The most tokens of a chunk. None: as many as fit into the window, or 2000 where that is not known.
        chunk_overlap: Tokens that neighbouring chunks share, so that no sentence loses its context. None: 100, but at most
            a quarter of the chunk.
        max_notes: The most tokens of the notes, a quarter of the window at most. None: as many as an answer, but at most an
            eighth of the window.
        counter: What counts chunks; the default uses cl100k.
        prompts: What the models are asked.
        worker: The model or agent that reads and takes notes, if it is not `model`.
        manager: The model or agent that answers, if it is not `model`.
        max_concurrency: The most calls of this system in flight. `"auto"`: as many as the server turns out to take, shared
            by all systems on one model; a number is a further bound.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    @overload
    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: type[T] | Output[T],
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> T: ...
    @overload
    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: None = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> str: ...
    @overload
    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Any: ...
    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Any:
        """Carry out a task on a long text.

        Args:
            initial_prompt: The task: a question, "Summarize this", ...
            long_text: The text.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, ...; None: text.
                It is an option of `complete`, `events` and `run_many`, too; the value is `LongTextResult.output`.
            progress: Called after each step.
            checkpoint: A file that keeps finished steps: the same call continues after the last of them, and inside the
                unfinished one where the endpoint can.
            **options: Options for the model; `max_tokens` is that of the answer.

        Raises:
            ConfigurationError: The task or the text is empty.
            CheckpointError: The checkpoint is damaged, belongs to another job, or cannot be written.
            ChunkingError: The task, the notes and the answer leave no room for any text.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: A call failed, or the model has written nothing.
        """
        hide_values(options)
        if output_type is not None:
            options["output_type"] = output_type
        result = await self.complete(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        return result.text if output_type is None else result.output

    async def complete(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> LongTextResult:
        """As `run`, with every step, what it cost, and where in the text the answer's sentences come from.

        The arguments and errors are those of `run`.
        """
        hide_values(options)
        events = self._events(initial_prompt, long_text, progress, checkpoint, options, shown=False)
        async with Closing(events) as happening:
            async for event in happening:
                if isinstance(event, RunFinished):
                    result: LongTextResult = event.result
                    return result
        raise AssertionError("a run ends with its result")

    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: type[T] | Output[T],
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[T | Any, None]: ...
    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: None = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[str, None]: ...
    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[Any, None]: ...
    async def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[Any, None]:
        """As `run`, with the text of the answer as it comes, once everything is read.

        With `output_type`, what has arrived of the value whenever that has grown, and at last the value.
        The arguments and errors are those of `run`.
        """
        hide_values(options)
        if typed := output_type is not None:
            options["output_type"] = output_type
        events = self._events(initial_prompt, long_text, progress, checkpoint, options, shown=True)
        async with Closing(events) as happening:
            async for event in happening:
                if not typed and isinstance(event, TextPiece):
                    yield event.text
                elif typed and isinstance(event, OutputPiece):
                    yield event.value
                elif typed and isinstance(event, RunFinished):
                    yield event.result.output

    async def events(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens while the text is read: every call as it begins and ends, the answer's text, `RunFinished`.

        `StepFinished` has the span of the text that a step has read, and its warnings; `RunFinished.result` is the
        `LongTextResult`. The text of notes is not emitted. The arguments and errors are those of `run`.
        """
        hide_values(options)
        events = self._events(initial_prompt, long_text, progress, checkpoint, options, shown=True)
        async with Closing(events) as happening:
            async for event in happening:
                yield event

    @at_call
    async def run_many(
        self,
        initial_prompt: str,
        long_texts: Sequence[str],
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> list[LongTextResult]:
        """Carry out one task on several texts concurrently; `max_concurrency` bounds the calls of all of them together.

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

        async def one(number: int) -> LongTextResult:
            path = None if checkpoint is None else Path(checkpoint) / f"{number}.sqlite"
            return await self.complete(initial_prompt, long_texts[number], checkpoint=path, **options)

        return await complete_all(one, initial_prompt, long_texts, progress, self._limit)
