"""An agent that passes its prompt to the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar, overload

from tframex._types import Message, Messages
from tframex.agents._history import after, exchange_of
from tframex.agents.base import BaseAgent, check_prompt, typed
from tframex.completion import Completion
from tframex.events import Event, RunFinished, StepFinished
from tframex.exchange import hide_values
from tframex.model import BaseModel, Output, typed_events
from tframex.tasks import Closing

__all__ = ["BasicAgent"]

T = TypeVar("T")


class BasicAgent(BaseAgent):
    """Sends a prompt and returns the model's answer.

    A subclass that overrides `build_messages` gets `run`, `events`, `stream`, `complete` and `stream_to_file` from here.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.
        system_prompt: Instructions that are sent before every prompt, as a system message.
    """

    def __init__(self, agent_id: str, model: BaseModel, *, system_prompt: str | None = None) -> None:
        super().__init__(agent_id, model)
        self.system_prompt = system_prompt

    def build_messages(self, prompt: str) -> list[Message]:
        """The messages that are sent for `prompt`."""
        user: Message = {"role": "user", "content": check_prompt(prompt)}
        return [{"role": "system", "content": self.system_prompt}, user] if self.system_prompt else [user]

    def build_conversation(self, prompt: str, history: Messages) -> list[Message]:
        """The messages that are sent for `prompt` after what was said before it.

        The history has the prompts as they were given, and the answers. It goes before the last message of the user of
        `build_messages`. Override this where it belongs elsewhere.

        Args:
            prompt: What to do.
            history: The conversation before it, oldest message first.
        """
        return after(history, self.build_messages(prompt))

    async def events(
        self,
        prompt: str,
        *,
        restart: bool = False,
        history: list[Message] | None = None,
        output_type: Any = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete; `run`, `stream`, `complete` and `stream_to_file` are derived from it.

        `CallStarted`, the pieces of the answer as they arrive, `StepFinished` and `RunFinished`, whose result is the
        `Completion`. Retries and continuations are events too.

        Args:
            prompt: What to do.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            history: The conversation before the prompt, as the Chat Completions API has it. When the answer is complete,
                the prompt and the answer are added to it. See `Conversation`, which keeps one.
            output_type: The type that the answer is to have; its value is `Completion.output`. An answer of another type is
                void and asked for again (`max_output_retries`, 2 by default). Without `restart`, there is an `OutputPiece`
                whenever the value has grown.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The model could not answer, or not completely.
        """
        hide_values(options)
        # A subclass with its own `run` has the events of that.
        options.update(typed(output_type))
        if history is not None:
            options["history"] = history
        if self._has_own_run:
            async with Closing(super().events(prompt, **options)) as events:
                async for event in events:
                    yield event
            return
        async with Closing(self._answer(prompt, restart, options)) as events:
            async for event in events:
                if isinstance(event, RunFinished) and history is not None:
                    history += exchange_of(prompt, event.result.text)
                yield event

    @overload
    async def run(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    async def run(self, prompt: str, *, output_type: None = None, **options: Any) -> str: ...
    @overload
    async def run(self, prompt: str, *, output_type: Any, **options: Any) -> Any: ...
    async def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        """The answer to `prompt`.

        Args:
            prompt: What to do.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; None: text. What is not of
                the type is asked for again, `max_output_retries` times (2).
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The model could not answer.
        """
        hide_values(options)
        options.update(typed(output_type))
        if self._has_own_run:
            # The subclass's `run` has called this one, and `events` would call it again.
            completion = await self._result(self._answer(prompt, True, options))
        else:
            completion = await self.complete(prompt, **options)
        return completion.text if output_type is None else completion.output

    async def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        """The answer to `prompt` as a `Completion`, with usage and timings.

        Args:
            prompt: What to do.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; the value is `Completion.output`. What is not of
                the type is asked for again, `max_output_retries` times (2).
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The model could not answer.
        """
        hide_values(options)
        return await self._result(self.events(prompt, restart=True, **typed(output_type), **options))

    @property
    def _has_own_run(self) -> bool:
        return type(self).run is not BasicAgent.run

    async def _answer(self, prompt: str, restart: bool, options: dict[str, Any]) -> AsyncGenerator[Event, None]:
        own = {name: value for name, value in options.items() if name not in ("history", "output_type")}
        history, output_type = options.get("history"), options.get("output_type")
        messages = self.build_conversation(prompt, history) if history else self.build_messages(prompt)
        if output_type is None:
            ready = await self.model.fit(messages, own)
            answering = self.model.events(messages, restart=restart, **ready)
        else:
            answering = typed_events(self.model, messages, output_type, own, shown=not restart)
        async with Closing(answering) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    yield StepFinished("answer", "answer", event.result)
                yield event

    def _request(self, prompt: str, history: Messages) -> tuple[list[Message], Sequence[dict[str, Any]]]:
        return self.build_conversation(prompt, history), ()
