"""What every agent can do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import anyio.to_thread

from tframex._types import Message, Messages
from tframex.agents._checks import check_parts as check_parts
from tframex.agents._checks import check_prompt as check_prompt
from tframex.agents._history import after, exchange_of
from tframex.agents._result import summed
from tframex.completion import Completion
from tframex.events import Event, OutputPiece, RunFinished, StepFinished, TextPiece
from tframex.exchange import at_call, hide_values
from tframex.files import PartialFile
from tframex.model import BaseModel, Output, record_calls, typed_call
from tframex.tasks import Closing

__all__ = ["BaseAgent"]

T = TypeVar("T")


class BaseAgent(ABC):
    """Does one job with a model.

    A subclass implements `run`; `events`, `stream`, `complete` and `stream_to_file` then return the result of `run`, in one
    piece. Where an `output_type` or a `history` is given, it is one of the options of `run`; `_stream_and_aggregate` takes
    them. To stream the answer as it arrives, subclass `BasicAgent` and override `build_messages`.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.

    Raises:
        ConfigurationError: The name is empty, or the model is not a model (or one of `tframex.sync`).
    """

    def __init__(self, agent_id: str, model: BaseModel) -> None:
        check_parts("agent_id", agent_id, model)
        self.agent_id = agent_id
        self.model = model

    @abstractmethod
    async def run(self, prompt: str, **options: Any) -> str:
        """The answer to `prompt`.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer.
        """

    async def events(self, prompt: str, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete; `stream`, `complete` and `stream_to_file` are derived from it.

        An agent that only has `run` emits a `StepFinished` for each model call it has made, its text in one piece, and
        `RunFinished`. `RunFinished.result` is the `Completion` that `complete` returns.

        Args:
            prompt: What to do.
            **options: Options for the model. Of a `history` among them `run` gets a copy; at the end, the prompt and the
                answer are added to it.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer, or not completely.
        """
        hide_values(options)
        started = time.perf_counter()
        history = options.get("history")
        if history is not None:
            options["history"] = [*history]
        with record_calls() as calls:
            found = await self.run(prompt, **options)
        for number, completion in enumerate(calls.completions, 1):
            yield StepFinished(f"call {number}", "call", completion)
        seconds = time.perf_counter() - started
        result = summed(found, calls, self.model.model_id, seconds, options.get("output_type"))
        if result.text:
            yield TextPiece(result.text)
        if history is not None:
            history += exchange_of(prompt, result.text)
        yield RunFinished(result)

    @overload
    def stream(
        self, prompt: str, *, output_type: type[T] | Output[T], **options: Any
    ) -> AsyncGenerator[T | Any, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: None = None, **options: Any) -> AsyncGenerator[str, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: Any, **options: Any) -> AsyncGenerator[Any, None]: ...
    async def stream(self, prompt: str, *, output_type: Any = None, **options: Any) -> AsyncGenerator[Any, None]:
        """The answer to `prompt`, piece by piece.

        With `output_type`, what has arrived of the value whenever that has grown, and at last the value. Until then it is
        not validated: a dict of what has arrived of an object, a list, a text. Only the items of a list that are more than
        texts are, each when it is complete; the unfinished one is left out. After an answer of another type it starts over.

        Args:
            prompt: What to do.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; None: text. What is not of
                the type is asked for again, `max_output_retries` times (2).
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer, or not completely.
        """
        hide_values(options)
        if output_type is not None:
            async with Closing(self._answer_events(prompt, output_type=output_type, **options)) as events:
                async for event in events:
                    if isinstance(event, OutputPiece):
                        yield event.value
                    elif isinstance(event, RunFinished):
                        yield event.result.output
            return
        async with Closing(self._answer_events(prompt, **options)) as events:
            async for event in events:
                # With n above 1 there are several answers; text can hold only one.
                if isinstance(event, TextPiece) and event.index == 0:
                    yield event.text

    async def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        """The answer to `prompt` as a `Completion`, with usage and timings.

        Where an agent makes several calls, `usage`, `retries` and `resumes` are added up over all of them.

        Args:
            prompt: What to do.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; the value is `Completion.output`. What is not of
                the type is asked for again, `max_output_retries` times (2).
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer.
        """
        hide_values(options)
        return await self._result(self.events(prompt, **typed(output_type), **options))

    async def stream_to_file(
        self, prompt: str, path: str | Path, *, output_type: Any = None, **options: Any
    ) -> Completion:
        """Write the answer to a file as it arrives; with `output_type` its JSON, when it has been validated.

        The text is written to `PATH.partial`, which is renamed to `path` when it is complete; an older file at `path` is
        kept until then. After a failure the partial file is kept.

        Args:
            prompt: What to do.
            path: The file; missing folders are made.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; None: text. What is not of
                the type is asked for again, `max_output_retries` times (2).
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer, or not completely.
            OutputError: The file cannot be written.
        """
        hide_values(options)
        completion: Completion | None = None
        with PartialFile(path) as file:
            async with Closing(self._answer_events(prompt, **typed(output_type), **options)) as events:
                async for event in events:
                    if isinstance(event, TextPiece) and event.index == 0 and output_type is None:
                        file.write(event.text)
                    elif isinstance(event, RunFinished):
                        completion = event.result
            completion = self._ended(completion)
            if output_type is not None:
                output: Output[Any] = Output.of(output_type)
                file.write(f"{output.write(completion.output)}\n")
            # Waiting for the disk must not hold up the other streams of this loop.
            await anyio.to_thread.run_sync(file.finish)
        return completion

    def _request(self, prompt: str, history: Messages) -> tuple[list[Message], Sequence[dict[str, Any]]]:
        """What is sent first for a prompt, as far as known: the messages, and the definitions of tools."""
        return after(history, exchange_of(prompt, "")[:1]), ()

    def _answer_events(self, prompt: str, **options: Any) -> AsyncGenerator[Event, None]:
        """The events whose text is that of the answer."""
        return self.events(prompt, **options)

    async def _result(self, events: AsyncGenerator[Event, None]) -> Completion:
        """The result of a run with these events."""
        completion: Completion | None = None
        async with Closing(events) as arriving:
            async for event in arriving:
                if isinstance(event, RunFinished):
                    # Read to the end: that alone closes a generator inside a user's own.
                    completion = event.result
        return self._ended(completion)

    def _ended(self, completion: Completion | None) -> Completion:
        if completion is None:
            raise TypeError(f"the events of {type(self).__name__} must end with RunFinished")
        return completion

    @at_call
    async def _stream_and_aggregate(self, prompt: str | Messages, **options: Any) -> str:
        """Send a prompt, or messages, to the model and return the complete text of the answer.

        Args:
            prompt: A prompt, which is sent as one user message, or the messages.
            **options: Options for the model. With `output_type` among them, the value of that type is returned; a `history`
                is sent before the last message of the user.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            ModelError: The model could not answer.
        """
        messages = [{"role": "user", "content": check_prompt(prompt)}] if isinstance(prompt, str) else prompt
        messages = after(options.pop("history", None) or (), messages)
        output_type = options.pop("output_type", None)
        if output_type is not None:
            return cast(str, (await typed_call(self.model, messages, output_type, options)).output)
        return (await self.model.call(messages, **await self.model.fit(messages, options))).text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.agent_id!r}, {self.model!r})"


def typed(output_type: Any) -> dict[str, Any]:
    """The type as an option, where there is one: a user's own `events` or `run` may know none."""
    return {} if output_type is None else {"output_type": output_type}
