"""One turn of a conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.agents._history import exchange_of
from tframex.agents._measuring import learn
from tframex.agents._memory import Memory
from tframex.agents._room import Room
from tframex.agents.base import BaseAgent, check_prompt
from tframex.agents.basic import BasicAgent
from tframex.completion import Completion
from tframex.errors import ConfigurationError, ContextLengthError, TFrameXError
from tframex.events import CallRetried, CallStarted, Event, RunFinished, StepFinished
from tframex.model import total_usage
from tframex.tasks import Closing

__all__ = ["Turn"]

log = get_logger("tframex.agents")


class Turn:
    """Makes room for a prompt, lets the agent answer it, and keeps both.

    Args:
        agent: Who answers.
        memory: What was said.
        answer: The events of the agent.
        prompt: The prompt.
        options: The options of the turn.
    """

    def __init__(
        self,
        agent: BaseAgent,
        memory: Memory,
        answer: Callable[..., AsyncGenerator[Event, None]],
        prompt: str,
        options: dict[str, Any],
    ) -> None:
        self._agent = agent
        self._memory = memory
        self._answer = answer
        self._prompt = prompt
        self._options = options
        self._answered: Completion | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens; at `RunFinished` the turn is part of the history and saved.

        Raises:
            ConfigurationError: The prompt is empty, or an option is wrong.
            TFrameXError: The turn has failed; the history is as it was before, except where only saving it has failed.
        """
        check_prompt(self._prompt)
        if "history" in self._options:
            raise ConfigurationError("a conversation keeps its history itself; leave it out")
        try:
            async with Closing(self._fitting()) as events:
                async for event in events:
                    yield event
            self._agent._ended(self._answered)
        except BaseException as error:
            if not self._answered:
                log.info("turn without an answer", agent=self._agent.agent_id, error=type(error).__name__)
            if isinstance(error, TFrameXError) and error.args:
                then = (
                    "The answer is part of the conversation, and is saved with the next turn."
                    if self._answered
                    else "The conversation is as it was before this turn."
                )
                error.args = (f"{error.args[0]} {then}", *error.args[1:])
            raise

    async def _fitting(self) -> AsyncGenerator[Event, None]:
        """Answer; where the endpoint finds the request too long, condense more and ask again."""
        room = Room(self._agent, self._memory.turns, self._prompt, self._options, self._memory.keep)
        refusal: ContextLengthError | None = None
        while True:
            calls = len(room.completions)
            async with Closing(room.make(refused=refusal is not None)) as events:
                async for event in events:
                    yield event
            if refusal is not None and len(room.completions) == calls:
                raise refusal
            begun = False
            try:
                async with Closing(self._answering(room)) as events:
                    async for event in events:
                        begun = begun or not isinstance(event, (CallStarted, CallRetried))
                        yield event
                return
            except ContextLengthError as error:
                if begun:
                    raise
                refusal = error
                if error.status_code and error.context_window:
                    # The window was unknown.
                    self._agent.model.note_window(error.context_window)

    async def _answering(self, room: Room) -> AsyncGenerator[Event, None]:
        turns = self._memory.turns
        history = turns.messages()
        before = len(history)
        own = isinstance(self._agent, BasicAgent) and not self._agent._has_own_run
        sent: Messages | None = self._agent._request(self._prompt, history)[0] if own else None
        async with Closing(self._answer(self._prompt, history=history, **self._options)) as events:
            async for event in events:
                if isinstance(event, StepFinished) and event.completion is not None and sent is not None:
                    learn(self._agent.model, sent, event.completion)
                    sent = None
                elif isinstance(event, RunFinished):
                    # An agent with `events` of its own may not have added anything.
                    said = history[before:] or exchange_of(self._prompt, event.result.text)
                    self._answered = event.result
                    await self._memory.keep({"turn": len(turns.all) + 1, "messages": said})
                    if room.completions:
                        usage = total_usage([*room.completions, event.result])
                        event = RunFinished(replace(event.result, usage=usage))
                yield event
