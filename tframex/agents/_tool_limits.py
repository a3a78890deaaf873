"""The limits of a run that calls tools."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio

from tframex._checks import check_count
from tframex._types import Message
from tframex.completion import Completion, Timings
from tframex.errors import ConfigurationError, RunLimitError
from tframex.model import total_usage
from tframex.tasks import Closing

__all__ = ["Limits", "Spent"]

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a run may take; None is no limit.

    Attributes:
        max_steps: Answers of the model.
        max_tool_calls: Calls of tools.
        max_run_tokens: Tokens of all requests and answers together.
        max_seconds: Seconds.
    """

    max_steps: int = 20
    max_tool_calls: int | None = None
    max_run_tokens: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        check_count("max_steps", self.max_steps)
        for name in ("max_tool_calls", "max_run_tokens"):
            value = getattr(self, name)
            if value is not None:
                check_count(name, value, least=0 if name == "max_tool_calls" else 1)
        seconds = self.max_seconds
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0):
            raise ConfigurationError(f"max_seconds must be a number of seconds above 0, or None, not {seconds!r}")


class Spent:
    """What a run has taken so far.

    Args:
        limits: What it may take.
        agent_id: For error messages.
        history: What the errors have as `history`.
    """

    def __init__(self, limits: Limits, agent_id: str, history: Sequence[Message]) -> None:
        self.completions: list[Completion] = []
        self.tool_calls = 0
        self.started = time.perf_counter()
        self._limits = limits
        self._agent_id = agent_id
        self._history = history

    def next_step(self) -> str:
        """The name of the next step, if there may be one.

        Raises:
            RunLimitError: A limit is reached.
        """
        limits, steps = self._limits, len(self.completions)
        if steps >= limits.max_steps:
            raise self.reached("max_steps", f"it has not ended after {steps} answers of the model")
        usage = total_usage(self.completions)
        if limits.max_run_tokens is not None and usage is not None and usage.total_tokens >= limits.max_run_tokens:
            raise self.reached("max_run_tokens", f"it has taken {usage.total_tokens} tokens")
        return str(steps + 1)

    def note_calls(self, number: int) -> None:
        """Note calls that are about to run.

        Raises:
            RunLimitError: They would be too many; none has run.
        """
        most = self._limits.max_tool_calls
        if most is not None and self.tool_calls + number > most:
            raise self.reached(
                "max_tool_calls",
                f"the model asks for {number} more after {self.tool_calls} calls of tools; they were not run",
            )
        self.tool_calls += number

    def all_in(self, completion: Completion, output: Any) -> Completion:
        """The completion of the run: the last answer, with what all of them took.

        Args:
            completion: The last answer.
            output: Its value, if it has a type.
        """
        seconds = time.perf_counter() - self.started
        first = completion.timings.first_token
        before = seconds - completion.timings.total
        return replace(
            completion,
            usage=total_usage(self.completions),
            timings=Timings(None if first is None else before + first, seconds),
            retries=sum(one.retries for one in self.completions),
            resumes=sum(one.resumes for one in self.completions),
            output=output,
        )

    def within(self, iterator: AsyncIterator[T]) -> Closing[T]:
        """The items of an iterator, as long as there is time left.

        Raises:
            RunLimitError: The time has passed; what was in progress was cancelled.
        """
        return Closing(iterator if self._limits.max_seconds is None else self._timed(iterator))

    async def _timed(self, iterator: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        assert self._limits.max_seconds is not None
        async with Closing(iterator) as items:
            reading = items.__aiter__()
            while True:
                left = self.started + self._limits.max_seconds - time.perf_counter()
                with anyio.move_on_after(max(0.0, left)) as scope:
                    try:
                        item = await reading.__anext__()
                    except StopAsyncIteration:
                        return
                if scope.cancelled_caught:
                    raise self.reached("max_seconds", f"{self._limits.max_seconds:g} seconds have passed")
                yield item

    def reached(self, limit: str, what: str) -> RunLimitError:
        """The error for a limit."""
        return RunLimitError(
            f"the run of {self._agent_id!r} has reached its limit {limit}: {what}. The history on this error can be "
            "continued; raise the limit if the task needs more.",
            limit=limit,
            history=list(self._history),
            usage=total_usage(self.completions),
        )
