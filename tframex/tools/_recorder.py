"""Where calls of tools are written down, so that a killed run repeats none of them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from tframex.completion import Completion, ToolCall
from tframex.tools._outcome import ToolOutcome

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CallRecorder", "Recalled"]


@dataclass(frozen=True)
class Recalled:
    """What is known of a call from earlier runs.

    Attributes:
        outcome: What became of it; it does not run again.
        key: Its idempotency key, if it has begun: without an outcome it is uncertain whether it took effect.
        error: What it raised then, if that is what ended the run.
        decided: A person has decided that it may run.
    """

    outcome: ToolOutcome | None = None
    key: str | None = None
    error: str = ""
    decided: bool = False


class CallRecorder:
    """Writes a run down, and remembers what an earlier process has done of it. This one does neither; a `RunJournal` does.

    A call is written down before it begins, with its idempotency key, and after it has ended, with its outcome. So a call
    with an outcome never runs again, a call without a key has never run, and one with a key alone is uncertain.

    Attributes:
        path: The file; empty without one.
        run_id: The run, the same after each kill; empty without a file.
    """

    path = ""
    run_id = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End the use of the file."""

    async def answer(self, step: str) -> Completion | None:
        """The complete answer of a step, or None if it has to be asked for.

        Args:
            step: The step of the run.
        """
        return None

    async def answered(self, step: str, completion: Completion) -> None:
        """Write down the complete answer of a step, before its calls run.

        Args:
            step: The step of the run.
            completion: The answer.
        """

    async def once(self, name: str, work: Callable[[], Awaitable[str]]) -> str:
        """The text that work with this name has returned, which an earlier process may have done.

        Args:
            name: A name of its own.
            work: Does it.
        """
        return await work()

    async def end(self, result: str) -> None:
        """Write down that the run has ended.

        Args:
            result: Its result, for people to read.
        """

    async def recall(self, step: str, calls: Sequence[ToolCall]) -> Sequence[Recalled]:
        """What is known of each of the calls of a step.

        Args:
            step: The step of the run.
            calls: Its calls, each with its own id.
        """
        return [Recalled() for _ in calls]

    async def wait_for(self, step: str, calls: Sequence[ToolCall]) -> None:
        """Write down that calls wait for a person's approval.

        Args:
            step: The step of the run.
            calls: The calls.
        """

    async def begin(self, step: str, call: ToolCall, key: str | None) -> str:
        """Write down that a call is about to run, and return its idempotency key.

        Args:
            step: The step of the run.
            call: The call.
            key: The key it has from an earlier run, or None.
        """
        return key or uuid.uuid4().hex

    async def finish(self, step: str, outcome: ToolOutcome) -> None:
        """Write down what became of a call.

        Args:
            step: The step of the run.
            outcome: It.
        """

    async def broke(self, step: str, call: ToolCall, error: BaseException) -> None:
        """Write down that a call has raised an error that ends the run.

        Args:
            step: The step of the run.
            call: The call.
            error: The error.
        """
