"""How a conversation is kept inside the window of its model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from tframex._logging import get_logger
from tframex.agents._condensing import Summary
from tframex.agents._measuring import measured
from tframex.agents._turns import Turns
from tframex.agents.base import BaseAgent
from tframex.completion import Completion
from tframex.events import Event, StepFinished
from tframex.tasks import Closing

__all__ = ["Room"]

# Turns at the end that are sent as they are, for as long as they fit.
_LAST = 2
# What is left for an answer, at least, before the last turns are condensed too.
_LEAST = 8

log = get_logger("tframex.agents")


class Room:
    """Makes room for a prompt and its answer: the oldest turns become a summary.

    Args:
        agent: Who answers.
        turns: What was said.
        prompt: The prompt.
        options: The options of the turn.
        keep: Keeps a record, and applies it to the turns.

    Attributes:
        completions: The calls that it took.
    """

    def __init__(
        self,
        agent: BaseAgent,
        turns: Turns,
        prompt: str,
        options: dict[str, Any],
        keep: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._agent = agent
        self._model = agent.model
        self._turns = turns
        self._prompt = prompt
        self._options = options
        self._keep = keep
        self.completions: list[Completion] = []

    async def make(self, *, refused: bool = False) -> AsyncGenerator[Event, None]:
        """What happens until the prompt fits: calls of the kind `"condense"`, and a `StepFinished` that says what was done.

        Args:
            refused: It did not fit, whatever was counted.
        """
        messages, tools = self._agent._request(self._prompt, self._turns.messages())
        window = await self._model.window()
        counter = self._model.counter
        if window is None:
            if not refused:
                return
            window = counter.count_messages(messages)
        wanted = self._model.answer_tokens(self._options) or window // 4
        # The results of tools come on top.
        answer = min(max(wanted, window // 2 if tools else 0), window // 2)
        if not refused and counter.bound(messages) + answer <= window:
            return
        size = await self._size()
        if refused:
            size = max(size, window + 1)
        if size + answer <= window:
            return
        alone = await self._size(alone=True)
        last = _LAST
        while size + answer > window and alone < window and last >= 0:
            aim = alone + max(0, window - answer - alone) // 2
            number = self._oldest(size - aim, window, last)
            if number:
                async with Closing(self._condense(number, window)) as events:
                    async for event in events:
                        yield event
                size = await self._size()
            elif not self._turns.kept or size + min(answer, window // _LEAST) <= window:
                # The answer gets what is left.
                return
            else:
                last -= 1

    async def _size(self, *, alone: bool = False) -> int:
        """Tokens of the request, or of one without what was said before."""
        messages, tools = self._agent._request(self._prompt, [] if alone else self._turns.messages())
        tokens = await measured(self._model, messages, tools)
        # A prompt that may be too long by itself is not taken for one that is.
        return tokens if self._model.counter.exact or not alone else self._model.counter.count_messages(messages)

    def _oldest(self, excess: int, window: int, last: int) -> int:
        """How many of the oldest turns have so many tokens; the last ones are kept."""
        kept = self._turns.kept
        # There was a summary before, or there will be one.
        excess += 0 if self._turns.summary else window // 8
        number = 0
        while number < len(kept) - last and excess > 0:
            excess -= self._model.counter.count_messages(kept[number])
            number += 1
        return number

    async def _condense(self, number: int, window: int) -> AsyncGenerator[Event, None]:
        summary = Summary(self._model, window, self._options)
        async with Closing(summary.events(self._turns.summary, self._turns.kept[:number])) as events:
            async for event in events:
                yield event
        turns = self._turns.condensed + number
        log.info("turns condensed", agent=self._agent.agent_id, turns=turns)
        self.completions += summary.completions
        await self._keep({"summary": summary.text, "turns": turns})
        yield StepFinished("condense", "condense", details={"turns": turns, "summary": summary.text})
