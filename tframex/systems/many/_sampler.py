"""The calls of one run, all alike: each becomes a sample."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion
from tframex.errors import ConfigurationError, TFrameXError
from tframex.events import StepFinished
from tframex.files import PartialFile
from tframex.model import BaseModel, PartialAnswer
from tframex.systems._meter import ProgressMeter
from tframex.systems._recorded_call import RecordedCall, Recorder
from tframex.systems.executor import Executor
from tframex.systems.many._merged_events import Emit
from tframex.systems.many.samples import Sample, Samples
from tframex.tasks import Closing, Limit

__all__ = ["Leftover", "Sampler", "reason_of"]

log = get_logger("tframex.systems")


class Sampler:
    """Makes the calls of one run.

    Args:
        name: For logs.
        model: Who is asked.
        meter: Counts and reports.
        limit: How many calls may be in flight. None: as many as the server turns out to take.
        warm_prefix: Send the others only when the first has got its first token.
    """

    def __init__(
        self,
        name: str,
        model: BaseModel,
        meter: ProgressMeter,
        *,
        limit: Limit | None = None,
        warm_prefix: bool = False,
    ) -> None:
        self.meter = meter
        self.executor = Executor(meter, limit, shared=limit is None, warm_prefix=warm_prefix)
        self._name = name
        self._model = model
        # The requests report to the model's own limit, whichever these calls wait at.
        self._refusals = model.limit.refusals
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._cancelled = False
        meter.stop = self.cancel

    async def one(
        self,
        index: int,
        messages: Messages,
        options: dict[str, Any],
        *,
        path: Path | None = None,
        partial: PartialAnswer | None = None,
        recorder: Recorder | None = None,
        emit: Emit | None = None,
    ) -> Sample:
        """Make call number `index`, and write its answer to `path` as it comes.

        Args:
            index: Its number.
            messages: What is asked.
            options: Options for the model.
            path: The file, or None.
            partial: What an earlier run has received of the answer.
            recorder: Where the answer is written down, if there is no file.
            emit: Takes the events of the call, if someone reads them.

        Raises:
            ConfigurationError: An option is wrong; it would be for every call.
        """
        call = RecordedCall(
            str(index),
            "sample",
            self._model,
            messages,
            options,
            partial,
            restart=path is None or options.get("output_type") is not None,
            shown=emit is not None,
            recorder=(recorder or Recorder()) if path is None else FileRecorder(path),
        )
        completion: Completion | None = None
        failure: Exception | None = None
        with anyio.CancelScope() as scope:
            self._scopes[index] = scope
            try:
                if self._cancelled:
                    # The run was stopped in the moment in which this call was about to begin.
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
                if emit is None:
                    completion = await self.executor.complete(call)
                else:
                    async with Closing(self.executor.events(call)) as events:
                        async for event in events:
                            if isinstance(event, StepFinished):
                                completion = event.completion
                            await emit(event)
            except ConfigurationError:
                raise
            except Exception as error:
                # Also what the user's own model may raise: the other calls have been paid for.
                failure = error
            finally:
                del self._scopes[index]
        cancelled = completion is None and failure is None and scope.cancelled_caught
        if failure is not None:
            log.warning("call failed", system=self._name, call=index, error=str(failure))
        sample = Sample(
            index,
            completion,
            failure,
            path if failure is None and not cancelled else None,
            "" if completion is not None else call.text,
            call.started or 0.0,
            self.meter.seconds - call.started if call.started is not None else 0.0,
            cancelled,
        )
        if not cancelled:
            self.meter.finish(reason_of(failure) if failure else str(path or sample.text), failed=failure is not None)
        return sample

    def cancel(self) -> None:
        """Stop all calls that are not over: their connections are closed, so that the server stops generating. Further
        ones are not sent.
        """
        self._cancelled = True
        for scope in self._scopes.values():
            scope.cancel()

    def unfinished(self) -> dict[int, RecordedCall]:
        """The calls in flight that have received something, by their number."""
        return {int(step): call for step, call in self.executor.in_flight.items() if call.pieces}

    @property
    def refusals(self) -> int:
        """How often the server has refused a request because it had too many."""
        return self._model.limit.refusals - self._refusals

    def samples(self, found: list[Sample]) -> Samples:
        """All calls of the run."""
        ordered = tuple(sorted(found, key=lambda sample: sample.index))
        return Samples(ordered, self.meter.seconds, self.meter.peak, self.refusals)


class FileRecorder(Recorder):
    """Writes an answer into a file while it arrives.

    Args:
        path: The file; it gets its name when the answer is complete.
    """

    def __init__(self, path: Path) -> None:
        self._file = PartialFile(path)
        self._opened = ExitStack()

    def open(self) -> None:
        self._opened.enter_context(self._file)

    def add(self, text: str) -> bool:
        self._file.write(text)
        return False

    def clear(self) -> None:
        self._file.clear()

    async def finish(self, call: RecordedCall, completion: Completion) -> None:
        # Waiting for the disk must not hold up the other streams of this loop.
        await anyio.to_thread.run_sync(self._file.finish)

    def close(self, error: BaseException | None) -> None:
        with self._opened:
            if isinstance(error, Exception):
                self._file.fail(str(error))


class Leftover(Recorder):
    """Keeps what has arrived of a call that was cancelled in the middle."""

    def __init__(self, calls: dict[int, RecordedCall]) -> None:
        self._calls = calls

    async def save(self, call: RecordedCall) -> None:
        self._calls[int(call.step)] = call


def reason_of(error: Exception) -> str:
    """What is said of an error where there is room for text alone."""
    kind = "" if isinstance(error, TFrameXError) else f"{type(error).__name__}: "
    return f"ERROR: {kind}{error}"
