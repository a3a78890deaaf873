"""A run of an agent in a file, so that the same run continues after it was killed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tframex.completion import Completion, ToolCall
from tframex.files import Journal, Row, content_key
from tframex.tools._outcome import ToolOutcome
from tframex.tools._recorder import CallRecorder, Recalled
from tframex.tools._rows import RUN, answer_row, call_name, call_row, completion_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RunJournal"]

# A row up to this size is written on the event loop: SQLite takes 20 us for it and does not wait for the disk, while a
# thread takes 120 us.
_SMALL = 100_000


class RunJournal(CallRecorder):
    """The answers and calls of one run, in a SQLite file. Use it as an asynchronous context manager.

    An answer is written down when it is complete, before its calls run; a call before it begins and after it has ended. A
    run that is killed and started again finds them. The file is kept when the run is over: the same run again returns the
    same answer, and asks nothing.

    Args:
        path: The file; missing folders are made.
        agent_id: The agent.
        prompt: What it is asked: text, messages, or whatever JSON can hold. Another prompt is another run.

    Attributes:
        run_id: The run, the same after each kill.

    Raises:
        CheckpointError: The file is damaged, belongs to another run, is in use, or cannot be written. Raised on entering.
    """

    def __init__(self, path: str | Path, agent_id: str, prompt: Any) -> None:
        self.path = str(path)
        self.run_id = ""
        self._agent_id = agent_id
        self._prompt = prompt
        self._journal: Journal
        self._keys: dict[str, str] = {}
        self._recalled_answers: set[str] = set()

    async def __aenter__(self) -> Self:
        if Path(self.path).exists():  # noqa: ASYNC240 - as quick as a thread is slow
            await anyio.to_thread.run_sync(self._open)
        else:
            # It does not wait for the disk.
            self._open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._journal.close)

    def _open(self) -> None:
        self._journal = Journal(self.path, content_key("agent run", self._agent_id, self._prompt))
        try:
            row = self._journal.get(RUN)
            if row is None:
                details = {"run_id": uuid.uuid4().hex, "agent_id": self._agent_id, "began": time.time()}
                row = Row(RUN, "", 0, 0, False, _shown(self._prompt), 0, details)
                self._journal.put(row)
            self.run_id = row.details["run_id"]
        except BaseException:
            self._journal.close()
            raise

    async def answer(self, step: str) -> Completion | None:
        """The complete answer of a step, or None if it has to be asked for.

        Args:
            step: The step.
        """
        row = self._journal.get(f"{step}/answer")
        if row is None:
            return None
        self._recalled_answers.add(step)
        return completion_of(row)

    async def answered(self, step: str, completion: Completion) -> None:
        """Write down the complete answer of a step, before its calls run.

        Args:
            step: The step.
            completion: The answer.
        """
        if step not in self._recalled_answers:
            await self._put(answer_row(step, completion))

    async def once(self, name: str, work: Callable[[], Awaitable[str]]) -> str:
        """The text that work with this name has returned, which an earlier process may have done.

        Args:
            name: A name of its own.
            work: Does it.
        """
        row = self._journal.get(f"once/{name}")
        if row is not None:
            return row.text
        text = await work()
        await self._put(Row(f"once/{name}", "", 0, 0, True, text, 0, {}))
        return text

    async def end(self, result: str) -> None:
        """Write down that the run has ended.

        Args:
            result: Its result, for people to read.
        """
        row = self._journal.get(RUN)
        if row is not None and not row.done:
            await self._put(Row(RUN, "", 0, 0, True, row.text, 0, {**row.details, "result": result}))

    async def recall(self, step: str, calls: Sequence[ToolCall]) -> Sequence[Recalled]:
        """What is known of each of the calls of a step.

        Args:
            step: The step of the run.
            calls: Its calls, each with its own id.
        """
        return [self._recalled(self._journal.get(call_name(step, call.id)), call) for call in calls]

    def _recalled(self, row: Row | None, call: ToolCall) -> Recalled:
        if row is None:
            return Recalled()
        if row.done:
            return Recalled(ToolOutcome(call, row.text, row.details.get("failed", False)))
        self._keys[row.name] = row.key
        decided = bool(row.details.get("decided"))
        return Recalled(None, row.key or None, row.details.get("error", ""), decided)

    async def wait_for(self, step: str, calls: Sequence[ToolCall]) -> None:
        """Write down that calls wait for a person's approval.

        Args:
            step: The step of the run.
            calls: The calls.
        """
        for call in calls:
            await self._put(call_row(step, call, ""))

    async def begin(self, step: str, call: ToolCall, key: str | None) -> str:
        """Write down that a call is about to run, and return its idempotency key.

        Args:
            step: The step of the run.
            call: The call.
            key: The key it has from an earlier run, or None.
        """
        key = self._keys[call_name(step, call.id)] = await super().begin(step, call, key)
        await self._put(call_row(step, call, key))
        return key

    async def finish(self, step: str, outcome: ToolOutcome) -> None:
        """Write down what became of a call.

        Args:
            step: The step of the run.
            outcome: It.
        """
        key = self._keys.get(call_name(step, outcome.call.id), "")
        await self._put(call_row(step, outcome.call, key, done=True, text=outcome.content, failed=outcome.failed))

    async def broke(self, step: str, call: ToolCall, error: BaseException) -> None:
        """Write down that a call has raised an error that ends the run.

        Args:
            step: The step of the run.
            call: The call.
            error: The error.
        """
        key = self._keys[call_name(step, call.id)]
        await self._put(call_row(step, call, key, error=f"it raised {type(error).__name__}: {error}"))

    async def _put(self, row: Row) -> None:
        if len(row.text) < _SMALL:
            self._journal.put(row)
        else:
            await anyio.to_thread.run_sync(self._journal.put, row)


def _shown(prompt: Any) -> str:
    """The prompt as people read it: of messages, the last."""
    last = prompt[-1].get("content") if isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict) else prompt
    return last if isinstance(last, str) else ""
