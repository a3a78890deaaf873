"""An agent in the place of a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from tframex._types import Message, Messages
from tframex.agents._checks import check_parts
from tframex.agents._run_limit import RunLimit
from tframex.agents.base import BaseAgent
from tframex.agents.basic import BasicAgent
from tframex.completion import Completion, Delta
from tframex.errors import ConfigurationError, ContextLengthError
from tframex.events import CallStarted, Event, RunFinished, StepFinished, TextPiece
from tframex.exchange import at_call
from tframex.model import BaseModel, EndpointCounter
from tframex.tasks import OF_MANY, Closing, emitted

__all__ = ["AgentModel"]

# The part of the window that the prompts of an agent with tools leave to the results of its calls.
_FOR_RESULTS = 4
# What is given to tools is no part of what identifies a run.
_NOT_SHAPING = ("deps", "history")


class AgentModel(BaseModel):
    """An agent in the place of a model: a call is a run, whose answer is the agent's, with all that the run has used.

    Systems make one of an agent that they are given. A run that has called tools is not begun again when the server fails:
    they would run twice.

    Args:
        agent: The agent.
    """

    def __init__(self, agent: BaseAgent) -> None:
        super().__init__(agent.agent_id)
        self.agent = agent
        self.context_window = agent.model.context_window
        self.default_max_tokens = agent.model.default_max_tokens
        self.max_concurrency = agent.model.max_concurrency

    @classmethod
    def of(cls, name: str, value: object, given: object) -> BaseModel:
        """The model that a system works with: the given one, or one that runs the given agent.

        Raises:
            ConfigurationError: It is neither, or of `tframex.sync`; or the system has no name.
        """
        if isinstance(given, BaseAgent):
            check_parts(name, value, given.model)
            return cls(given)
        check_parts(name, value, given)
        assert isinstance(given, BaseModel)
        return given

    @property
    def counter(self) -> EndpointCounter:
        """That of the agent's model."""
        return self.agent.model.counter

    @property
    def limit(self) -> RunLimit:
        """How many runs may be in flight; each of their calls also waits at the limit of the agent's model."""
        if not isinstance(self._limit, RunLimit):
            self._limit = RunLimit(self.agent.model.limit)
        return self._limit

    async def window(self) -> int | None:
        """Tokens that a prompt and the answer may have: what the agent's own messages, tools and their results leave."""
        window = await self.agent.model.window()
        if window is None:
            return None
        messages, tools = self.agent._request("?", [])
        own = await self.counter.measure(messages, tools) - await self.counter.measure([_user("?")])
        return max(1, window - max(0, own) - (window // _FOR_RESULTS if tools else 0))

    def note_window(self, window: int) -> None:
        """Learn the window from a refusal."""
        self.agent.model.note_window(window)

    async def count_tokens(self, what: str | Messages) -> int | None:
        """Tokens, counted by the server of the agent's model."""
        return await self.agent.model.count_tokens(what)

    async def fit(self, messages: Messages, options: dict[str, Any]) -> dict[str, Any]:
        """The options with which the prompt fits. What does not fit is left to the agent, which knows its requests."""
        try:
            return await super().fit(messages, options)
        except ContextLengthError:
            return options

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        """What shapes the answers: that of the agent's model, and the agent's messages, tools and type."""
        messages, tools = self.agent._request("?", [])
        asked = {name: value for name, value in options.items() if name not in _NOT_SHAPING}
        kind = asked.pop("output_type", None) or getattr(self.agent, "output_type", None)
        own = {"agent": type(self.agent).__qualname__, "messages": messages, "tools": list(tools), "output": repr(kind)}
        return {**self.agent.model.shaping(asked), **own}

    @at_call
    async def events(
        self,
        messages: Messages,
        *,
        restart: bool = False,
        output_type: Any = None,
        max_output_retries: int | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens in a run, as one call: pieces of the final answer, tools, retries, and `RunFinished`.

        Args:
            messages: The conversation; its last message is the prompt.
            restart: An answer that breaks off may start over, where the agent streams.
            output_type: The type of the answer.
            max_output_retries: How often one of another type is asked for again.
            **options: Options of the agent.

        Raises:
            ConfigurationError: The last message is not a text of the user.
        """
        prompt, history = _asked(messages)
        typed = {"output_type": output_type, "max_output_retries": max_output_retries}
        options |= {name: value for name, value in typed.items() if value is not None}
        if history:
            options["history"] = history
        if isinstance(self.agent, BasicAgent):
            options["restart"] = restart

        async def work(emit: Callable[[Event], None]) -> None:
            # In its own task, whose context is its own.
            OF_MANY.set(True)
            async with Closing(self.agent._answer_events(prompt, **options)) as events:
                async for event in events:
                    emit(event)

        yield CallStarted(model_id=self.model_id)
        finished: RunFinished | None = None
        async with Closing(emitted(work)) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    finished = event
                elif not isinstance(event, (CallStarted, StepFinished)):
                    yield event
        if finished is None:
            raise TypeError(f"the events of {type(self.agent).__name__} must end with RunFinished")
        yield finished

    async def stream(self, messages: Messages, **options: Any) -> AsyncIterator[Delta | Completion]:
        """The answer piece by piece, then the `Completion`."""
        async with Closing(self.events(messages, **options)) as events:
            async for event in events:
                if isinstance(event, TextPiece):
                    yield Delta(event.text, index=event.index)
                elif isinstance(event, RunFinished):
                    yield event.result

    async def call(self, messages: Messages, **options: Any) -> Completion:
        """The answer of a run."""
        async with Closing(self.events(messages, restart=True, **options)) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    found: Completion = event.result
        return found

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncIterator[str]:
        """The text of the answer, piece by piece."""
        async with Closing(self.stream(messages, **options)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Delta) and piece.content:
                    yield piece.content

    async def close_client(self) -> None:
        """Release what the agent's model holds."""
        await self.agent.model.close_client()

    def __repr__(self) -> str:
        return repr(self.agent)


def _user(prompt: str) -> Message:
    return {"role": "user", "content": prompt}


def _asked(messages: Messages) -> tuple[str, list[Message]]:
    """The prompt, and the conversation before it."""
    *history, last = messages or [{}]
    prompt = last.get("content")
    if last.get("role") != "user" or not isinstance(prompt, str):
        raise ConfigurationError(
            "an agent is asked with a text: the last message must be the user's, and its content text"
        )
    return prompt, history
