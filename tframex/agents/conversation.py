"""A conversation with an agent."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import anyio.to_thread

from tframex._types import Message
from tframex.agents._conversation_file import write_copy
from tframex.agents._memory import Memory
from tframex.agents._turn import Turn
from tframex.agents.base import BaseAgent, typed
from tframex.completion import Completion
from tframex.events import Event, OutputPiece, RunFinished, TextPiece
from tframex.exchange import hide_values
from tframex.model import Output
from tframex.tasks import Closing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Conversation"]

T = TypeVar("T")


class Conversation:
    """A conversation with an agent, which remembers what was said.

    The history is kept inside the window of the agent's model: before a prompt would not fit together with its answer, the
    model condenses the oldest turns into a summary, which costs a call. The system prompt, and the last two turns for as
    long as they fit, are sent as they are. A turn that fails, is cancelled or whose stream is left early is not part of the
    history; whatever its tools have done, they have done.

    With a path, every turn is on disk when its answer has been returned, as a line of JSON; a process that is killed loses
    at most the turn it was in. The same path continues the conversation. One conversation at a time owns the file: close
    it, or use a `with` or `async with` block.

    There is one turn at a time: a second prompt during an answer is refused. A stream that a loop has left with `break` is
    closed by the next turn of the same task.

    Args:
        agent: Who answers: those of `tframex.agents`, and any other whose `run` takes a `history` or passes its options on.
        path: The file; missing folders are made. None: the conversation is not saved.

    Attributes:
        agent: Who answers.
        path: The file, or None.

    Raises:
        ConfigurationError: The agent cannot take a history.
        OutputError: The file is not a conversation, is damaged, is in use by another one, or cannot be read or written.
    """

    def __init__(self, agent: BaseAgent, path: str | Path | None = None) -> None:
        self._memory = Memory(agent, path)
        self.agent = agent
        self.path = None if path is None else Path(path)

    @property
    def messages(self) -> list[Message]:
        """What is sent before the next prompt, without the system prompt: the summary of condensed turns, and the others.

        Calls of tools are in it with their results, so that it can be sent again.
        """
        return self._memory.turns.messages()

    @property
    def turns(self) -> list[list[Message]]:
        """Everything that was said, turn by turn, the condensed ones included: each with the prompt and the answer."""
        return [[*turn] for turn in self._memory.turns.all]

    @property
    def condensed(self) -> int:
        """How many of the oldest turns are sent as a summary."""
        return self._memory.turns.condensed

    @overload
    async def say(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    async def say(self, prompt: str, *, output_type: None = None, **options: Any) -> str: ...
    @overload
    async def say(self, prompt: str, *, output_type: Any, **options: Any) -> Any: ...
    async def say(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        """The answer to the next prompt.

        Args:
            prompt: What to say.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, a
                `tframex.model.Output`, ...; None: text, or the type of a `ToolAgent`.
            **options: Options for the agent and its model.

        Raises:
            ConfigurationError: The prompt is empty, an option is wrong, or another prompt is being answered.
            ContextLengthError: The prompt itself does not fit into the window; nothing was sent.
            ModelError: The model could not answer. The history is as it was before.
            OutputError: The answer could not be saved. It is part of the history, and saved with the next one.
        """
        hide_values(options)
        completion = await self.complete(prompt, output_type=output_type, **options)
        own = getattr(self.agent, "output_type", None) if output_type is None else output_type
        return completion.text if own in (None, str) else completion.output

    @overload
    def stream(
        self, prompt: str, *, output_type: type[T] | Output[T], **options: Any
    ) -> AsyncGenerator[T | Any, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: None = None, **options: Any) -> AsyncGenerator[str, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: Any, **options: Any) -> AsyncGenerator[Any, None]: ...
    async def stream(self, prompt: str, *, output_type: Any = None, **options: Any) -> AsyncGenerator[Any, None]:
        """The answer to the next prompt, piece by piece; with `output_type`, what has arrived of the value, then the value.

        The turn is part of the history when the stream has been read to its end. That of a `ToolAgent` has the text of its
        last answer alone.

        Args:
            prompt: What to say.
            output_type: The type that the answer is to have.
            **options: Options for the agent and its model.

        Raises:
            ConfigurationError: The prompt is empty, an option is wrong, or another prompt is being answered.
            ModelError: The model could not answer, or not completely. The history is as it was before.
            OutputError: The answer could not be saved. It is part of the history, and saved with the next one.
        """
        hide_values(options)
        asked = {**typed(output_type), **options}
        async with Closing(self._turn(self.agent._answer_events, prompt, asked)) as events:
            async for event in events:
                if output_type is None:
                    # With n above 1 there are several answers; text can hold only one.
                    if isinstance(event, TextPiece) and event.index == 0:
                        yield event.text
                elif isinstance(event, OutputPiece):
                    yield event.value
                elif isinstance(event, RunFinished):
                    yield event.result.output

    async def events(self, prompt: str, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete: the events of the agent.

        Where turns are condensed, the calls for it come before them, as steps of the kind `"condense"` without pieces; the
        last `StepFinished` of these has in its `details` how many `turns` are condensed, and the `summary`. At
        `RunFinished` the turn is part of the history and saved.

        Args:
            prompt: What to say.
            **options: Options for the agent and its model.

        Raises:
            ConfigurationError: The prompt is empty, an option is wrong, or another prompt is being answered.
            ModelError: The model could not answer, or not completely. The history is as it was before.
            OutputError: The answer could not be saved. It is part of the history, and saved with the next one.
        """
        hide_values(options)
        async with Closing(self._turn(self.agent.events, prompt, options)) as events:
            async for event in events:
                yield event

    async def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        """The answer to the next prompt as a `Completion`; its usage is that of all calls, those that condense included.

        Args:
            prompt: What to say.
            output_type: The type that the answer is to have; the value is `Completion.output`.
            **options: Options for the agent and its model.

        Raises:
            ConfigurationError: The prompt is empty, an option is wrong, or another prompt is being answered.
            ModelError: The model could not answer. The history is as it was before.
            OutputError: The answer could not be saved. It is part of the history, and saved with the next one.
        """
        hide_values(options)
        asked = {**typed(output_type), **options}
        if "restart" in inspect.signature(self.agent.events).parameters:
            # The text is not shown before it is complete.
            asked["restart"] = True
        return await self.agent._result(self._turn(self.agent.events, prompt, asked))

    async def undo(self) -> str | None:
        """Take back the last turn; returns its prompt, or None if there is no turn.

        Raises:
            ConfigurationError: A prompt is being answered.
            OutputError: It cannot be saved now; it is saved with the next turn.
        """
        turns = self._memory.turns.all
        if not turns:
            return None
        prompt = str(turns[-1][0]["content"])
        await self._memory.change({"undone": len(turns)})
        return prompt

    async def clear(self) -> None:
        """Forget what was said; the lines in the file are kept.

        Raises:
            ConfigurationError: A prompt is being answered.
            OutputError: It cannot be saved now; it is saved with the next turn.
        """
        if self._memory.turns.all:
            await self._memory.change({"cleared": True})

    async def count_tokens(self) -> int:
        """The tokens of what is sent before the next prompt, system prompt and tools included.

        They are exact where the endpoint counts, else an estimate.
        """
        model = self.agent.model
        messages, tools = self.agent._request("?", self.messages)
        tokens = await model.counter.measure(messages, tools)
        return tokens if model.counter.exact else model.counter.count_messages(messages)

    async def save(self, path: str | Path) -> None:
        """Write a copy of the conversation, which can be continued as one of its own.

        Args:
            path: The file, which must not exist; missing folders are made.

        Raises:
            OutputError: It exists, or cannot be written.
        """
        await anyio.to_thread.run_sync(write_copy, path, self._memory.turns, self.agent.agent_id)

    def close(self) -> None:
        """Close the file, so that the conversation may be continued elsewhere; without one, there is nothing to do."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.agent!r}, {len(self._memory.turns.all)} turns)"

    def _turn(
        self, answer: Callable[..., AsyncGenerator[Event, None]], prompt: str, options: dict[str, Any]
    ) -> AsyncGenerator[Event, None]:
        return self._memory.held(Turn(self.agent, self._memory, answer, prompt, options).events())
