"""One run over a file of requests: read, asked, written down in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from tframex.completion import Usage
from tframex.errors import AuthenticationError, ConfigurationError, ModelError, ModelNotFoundError
from tframex.exchange import is_overload
from tframex.files import Row, count_lines
from tframex.model import BaseModel, PartialAnswer
from tframex.systems._identity import call_key
from tframex.systems._meter import ProgressMeter
from tframex.systems._patience import cause_of
from tframex.systems._recorded_call import RecordedCall
from tframex.systems.many._batch_files import BatchFiles, finished
from tframex.systems.many._sampler import Leftover, Sampler
from tframex.systems.many.batch import BatchLine, BatchResult
from tframex.systems.many.samples import Sample
from tframex.tasks import ABORTS, ProgressCallback

__all__ = ["BatchRun"]

# Lines that are read ahead of the one whose result is written next. It bounds the memory.
_AHEAD = 2048
# Seconds between two states of the answers that are not written yet.
_APART = 0.1
# A part of an answer by which it must have grown to be written again.
_SHARE = 32


class BatchRun:
    """Answers the lines of a file.

    Args:
        model: The model that is asked.
        files: Where they are, and where the results go.
        options: Options for all lines.
        retry_failed: Ask lines again that failed in an earlier run, if their failure may not happen another time.
    """

    def __init__(self, model: BaseModel, files: BatchFiles, options: dict[str, Any], *, retry_failed: bool) -> None:
        self._model = model
        self._files = files
        self._options = options
        self._retry = retry_failed
        self._default = options.get("model", model.model_id)
        self._lines: dict[int, BatchLine] = {}
        """Those that are being answered, by number."""
        self._ready: dict[int, str] = {}
        """Results that wait for those before them."""
        self._order: list[int] = []
        """The numbers of the lines that were read and not written, as they come."""
        self._saved: dict[int, int] = {}
        """How much of an unwritten answer the checkpoint has."""
        self._broken: dict[int, RecordedCall] = {}
        """Calls that were cancelled in the middle."""
        self._usage = Usage()
        self._continues: bool | None = None
        self._answered = False
        """Whether the model of all lines has answered any of them."""
        self._changed = anyio.Event()

    async def run(
        self, calls_for: Callable[[ProgressMeter], Sampler], progress: ProgressCallback | None
    ) -> BatchResult:
        """Answer what no earlier run has answered.

        Args:
            calls_for: Makes the calls, given a meter.
            progress: Called after each line.

        Raises:
            OutputError: A file cannot be read or written.
            CheckpointError: The files are of another batch.
            ModelError: The server has gone away, or refuses every request.
        """
        files, job = self._files, call_key(self._model, self._options, "batch")
        total = await anyio.to_thread.run_sync(count_lines, files.source)
        with await anyio.to_thread.run_sync(lambda: files.open(job, self._parsed, retry=self._retry)):
            meter = ProgressMeter(max(total, files.earlier + len(files.retried)), progress, done=files.earlier)
            calls = calls_for(meter)
            async with meter:
                await self._work(calls)
            if meter.broken is not None:
                raise meter.broken
            await anyio.to_thread.run_sync(files.finish)
        return BatchResult(
            lines=meter.done,
            earlier=files.earlier,
            failed=files.failed + meter.failed,
            usage=self._usage,
            seconds=meter.seconds,
            peak=meter.peak,
            refusals=calls.refusals,
            retried=len(files.retried),
        )

    def _parsed(self, number: int, raw: str) -> BatchLine:
        return BatchLine.parse(number, raw, self._model, self._options)

    async def _work(self, calls: Sampler) -> None:
        failures: list[BaseException] = []
        over = anyio.Event()

        async def guarded(function: Any, *arguments: Any) -> None:
            try:
                await function(*arguments)
            except ABORTS as error:
                failures.append(error)
                group.cancel_scope.cancel()

        async def save() -> None:
            while not over.is_set():
                with anyio.move_on_after(_APART):
                    await over.wait()
                await self._save(calls)

        async def feed_and_write() -> None:
            for number, raw in self._files.lines():
                line = self._parsed(number, raw)
                self._lines[number] = line
                self._order.append(number)
                group.start_soon(guarded, self._answer, line, calls)
                if len(self._order) >= _AHEAD:
                    await self._write(at_least=1)
                elif len(self._order) % 64 == 0:
                    # Let the calls begin.
                    await self._write(at_least=0)
            while self._order:
                await self._write(at_least=1)
            over.set()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(guarded, save)
                group.start_soon(guarded, feed_and_write)
        finally:
            # Also when the run is cancelled or fails: what has arrived has been paid for.
            with anyio.CancelScope(shield=True):
                await self._save(calls)
        if failures:
            raise failures[0]

    async def _answer(self, line: BatchLine, calls: Sampler) -> None:
        row = None
        if self._files.known(line.number):
            self._saved[line.number] = 0
            row = await anyio.to_thread.run_sync(lambda: self._files.kept(line, retry=self._retry))
        if row is not None and row.done:
            self._saved[line.number] = -1
            self._finish(line, row.text)
            calls.meter.finish(line.custom_id, failed=json.loads(row.text).get("error") is not None)
        elif line.problem:
            self._finish(line, line.refusal("invalid_line", line.problem))
            calls.meter.finish(line.problem, failed=True)
        else:
            begun = None if row is None else PartialAnswer(row.text, row.tokens)
            recorder = Leftover(self._broken)
            try:
                sample = await calls.one(line.number, line.messages, line.options, partial=begun, recorder=recorder)
            except ConfigurationError as error:
                if line.options == self._options:
                    raise  # It would be the same for every line.
                sample = Sample(line.number, error=error)
                calls.meter.finish(str(error), failed=True)
            if calls.meter.broken is not None and sample.cancelled:
                raise calls.meter.broken
            own = line.options.get("model", self._default) != self._default
            if isinstance(sample.error, ModelError) and self._is_of_all(sample.error, calls, own=own):
                raise sample.error
            self._answered |= sample.completion is not None and not own
            if sample.completion is not None and (usage := sample.completion.usage) is not None:
                self._usage = Usage(
                    self._usage.prompt_tokens + usage.prompt_tokens,
                    self._usage.completion_tokens + usage.completion_tokens,
                    estimated=self._usage.estimated or usage.estimated,
                )
            self._finish(line, line.result(sample))

    def _finish(self, line: BatchLine, result: str) -> None:
        self._ready[line.number] = result
        self._broken.pop(line.number, None)
        if self._order and self._order[0] == line.number:
            self._changed.set()

    async def _write(self, *, at_least: int) -> None:
        """Write the results whose turn it is; wait until there are `at_least` of them."""
        await anyio.lowlevel.checkpoint()
        while not self._order or self._order[0] not in self._ready:
            if not at_least:
                return
            self._changed = anyio.Event()
            await self._changed.wait()
        turn: list[int] = []
        for number in self._order:
            if number not in self._ready:
                break
            turn.append(number)
        results = [(self._lines[number], self._ready[number]) for number in turn]
        await anyio.to_thread.run_sync(self._files.write, results)
        del self._order[: len(turn)]
        for number in turn:
            del self._ready[number], self._lines[number]

    async def _may_continue(self) -> bool:
        """Whether the beginning of an answer is worth being kept."""
        if self._continues is None:
            try:
                self._continues = await self._model.continues(self._options)
            except ModelError:
                self._continues = False
        return self._continues

    async def _save(self, calls: Sampler) -> None:
        """Update the checkpoint: what is finished or in flight and not written yet."""
        rows: list[Row] = []
        continues = calls.executor.answered and await self._may_continue()
        for number, result in self._ready.items():
            if self._saved.get(number) != -1:
                self._saved[number] = -1
                rows.append(finished(self._lines[number], result))
        for number, call in {**self._broken, **calls.unfinished()}.items():
            saved, arrived = self._saved.get(number, 0), len(call.pieces)
            # The text is written completely each time: long ones less often.
            if continues and arrived > saved and (arrived - saved > saved // _SHARE or number in self._broken):
                self._saved[number] = arrived
                rows.append(Row(str(number), self._lines[number].key, 0, 0, False, call.text, call.tokens, {}))
        written = [number for number in self._saved if number not in self._lines]
        if rows or written:
            await anyio.to_thread.run_sync(self._files.save, rows, written)
            for number in written:
                del self._saved[number]

    def _is_of_all(self, error: ModelError, calls: Sampler, *, own: bool) -> bool:
        """Whether an error would be that of every further line: the run ends, and can be continued.

        Args:
            error: What a line failed with.
            calls: All calls.
            own: The line names a model that the others do not.
        """
        cause = cause_of(error)
        if isinstance(cause, AuthenticationError):
            return not own
        if isinstance(cause, ModelNotFoundError):
            return not own and not self._answered
        return isinstance(cause, ModelError) and is_overload(cause) and calls.executor.alone
