"""One run over a file of requests: read, asked, written down in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from tframex.completion import Usage
from tframex.errors import (
    AuthenticationError,
    CheckpointError,
    ConfigurationError,
    ModelError,
    ModelNotFoundError,
)
from tframex.exchange import is_overload
from tframex.files import Journal, LineFile, Row, count_lines, read_lines
from tframex.model import BaseModel, PartialAnswer
from tframex.systems._identity import call_key
from tframex.systems._meter import ProgressMeter
from tframex.systems._patience import cause_of
from tframex.systems.many._sampler import Sampler
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
        model: Who answers.
        source: The file of requests.
        target: The file of results.
        checkpoint: Where answers are kept that cannot be written yet: those that overtook an earlier line, and what has
            arrived of those in flight. None: `TARGET.checkpoint`.
        options: Options for all lines.

    Raises:
        ConfigurationError: Source and target are the same.
    """

    def __init__(
        self,
        model: BaseModel,
        source: Path,
        target: Path,
        checkpoint: str | Path | None,
        options: dict[str, Any],
    ) -> None:
        if not target.name:
            raise ConfigurationError(f"the output must be a file, not {str(target)!r}")
        kept = Path(checkpoint) if checkpoint is not None else target.with_name(f"{target.name}.checkpoint")
        if len({source.resolve(), target.resolve(), kept.resolve()}) < 3:
            raise ConfigurationError(
                f"input ({source}), output ({target}) and checkpoint ({kept}) must be different files"
            )
        self._model = model
        self._source = source
        self._target = target
        self._checkpoint = kept
        self._options = options
        self._begun: dict[str, Row] = {}
        self._lines: dict[int, BatchLine] = {}
        """Those that are being answered, by number."""
        self._ready: dict[int, str] = {}
        """Results that wait for those before them."""
        self._order: list[int] = []
        """The numbers of the lines that were read and not written, as they come."""
        self._saved: dict[int, int] = {}
        """How much of an unwritten answer the checkpoint has."""
        self._usage = Usage()
        self._goes_on: bool | None = None
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
            ModelError: The server has gone away, or takes no request of anybody's.
        """
        total = await anyio.to_thread.run_sync(count_lines, self._source)
        with await anyio.to_thread.run_sync(LineFile, self._target) as output:
            source = read_lines(self._source)
            earlier = await anyio.to_thread.run_sync(self._skip, source)
            meter = ProgressMeter(max(total, earlier), progress, done=earlier)
            calls = calls_for(meter)
            job = call_key(self._model, self._options, "batch")
            kept = await anyio.to_thread.run_sync(Journal, self._checkpoint, job)
            try:
                self._begun = await anyio.to_thread.run_sync(lambda: _rows(kept))
                async with meter:
                    await self._work(source, calls, output, kept)
                if meter.broken is not None:
                    raise meter.broken
            except BaseException:
                kept.close()
                raise
            await anyio.to_thread.run_sync(kept.remove)
        return BatchResult(meter.done, earlier, meter.failed, self._usage, meter.seconds, meter.peak, calls.refusals)

    def _skip(self, source: Iterator[tuple[int, str]]) -> int:
        """Pass over the lines that are answered in the target, and see that they are the same."""
        done = 0
        for _, result in read_lines(self._target):
            number, raw = next(source, (0, ""))
            try:
                found = json.loads(result).get("id")
            except (ValueError, AttributeError):
                found = None
            if not number or found != self._parsed(number, raw).id:
                asked = f"of line {number} of {self._source}" if number else f"of any line of {self._source}"
                raise CheckpointError(
                    f"line {done + 1} of {self._target} is not the result {asked}: another batch, model or option has "
                    "written it. Nothing was changed; give another output file, or delete that.",
                    path=str(self._target),
                )
            done += 1
        return done

    def _parsed(self, number: int, raw: str) -> BatchLine:
        return BatchLine.parse(number, raw, self._model, self._options)

    async def _work(self, source: Iterator[tuple[int, str]], calls: Sampler, output: LineFile, kept: Journal) -> None:
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
                await self._save(calls, kept)

        async def feed_and_write() -> None:
            for number, raw in source:
                line = self._parsed(number, raw)
                self._lines[number] = line
                self._order.append(number)
                group.start_soon(guarded, self._answer, line, calls)
                if len(self._order) >= _AHEAD:
                    await self._write(output, calls, at_least=1)
                elif len(self._order) % 64 == 0:
                    # Let the calls begin.
                    await self._write(output, calls, at_least=0)
            while self._order:
                await self._write(output, calls, at_least=1)
            over.set()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(guarded, save)
                group.start_soon(guarded, feed_and_write)
        finally:
            # Also when the run is cancelled or fails: what has arrived has been paid for.
            with anyio.CancelScope(shield=True):
                await self._save(calls, kept)
        if failures:
            raise failures[0]

    async def _answer(self, line: BatchLine, calls: Sampler) -> None:
        row = self._begun.pop(str(line.number), None)
        if row is not None:
            self._saved[line.number] = 0
        if row is not None and row.key != line.key:
            row = None
        if row is not None and row.done:
            self._saved[line.number] = -1
            self._finish(line, row.text)
            calls.meter.finish(line.custom_id, failed=json.loads(row.text).get("error") is not None)
        elif line.problem:
            self._finish(line, line.refusal("invalid_line", line.problem))
            calls.meter.finish(line.problem, failed=True)
        else:
            begun = None if row is None else PartialAnswer(row.text, row.tokens)
            try:
                sample = await calls.one(line.number, line.messages, line.options, partial=begun)
            except ConfigurationError as error:
                if line.options == self._options:
                    raise  # It would be the same for every line.
                sample = Sample(line.number, error=error)
                calls.meter.finish(str(error), failed=True)
            if calls.meter.broken is not None:
                raise calls.meter.broken
            if isinstance(sample.error, ModelError) and _is_everybodys(sample.error, calls):
                raise sample.error
            if sample.completion is not None and (usage := sample.completion.usage) is not None:
                self._usage = Usage(
                    self._usage.prompt_tokens + usage.prompt_tokens,
                    self._usage.completion_tokens + usage.completion_tokens,
                    estimated=self._usage.estimated or usage.estimated,
                )
            self._finish(line, line.result(sample))

    def _finish(self, line: BatchLine, result: str) -> None:
        self._ready[line.number] = result
        if self._order and self._order[0] == line.number:
            self._changed.set()

    async def _write(self, output: LineFile, calls: Sampler, *, at_least: int) -> None:
        """Write the results whose turn it is; wait until there are so many."""
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
        await anyio.to_thread.run_sync(output.write, [self._ready[number] for number in turn])
        del self._order[: len(turn)]
        for number in turn:
            del self._ready[number], self._lines[number]

    async def _may_go_on(self) -> bool:
        """Whether the beginning of an answer is worth being kept."""
        if self._goes_on is None:
            try:
                self._goes_on = await self._model.continues(self._options)
            except ModelError:
                self._goes_on = False
        return self._goes_on

    async def _save(self, calls: Sampler, kept: Journal) -> None:
        """Bring the checkpoint up to date: what is finished or in flight and not written yet."""
        rows: list[Row] = []
        continues = calls.executor.answered and await self._may_go_on()
        for number, result in self._ready.items():
            if self._saved.get(number) != -1:
                self._saved[number] = -1
                rows.append(Row(str(number), self._lines[number].key, 0, 0, True, result, 0, {}))
        for number, call in calls.unfinished().items():
            saved, arrived = self._saved.get(number, 0), len(call.pieces)
            # A text is written as a whole each time: long ones less often.
            if continues and arrived - saved > saved // _SHARE:
                self._saved[number] = arrived
                rows.append(Row(str(number), self._lines[number].key, 0, 0, False, call.text, call.tokens, {}))
        written = [number for number in self._saved if number not in self._lines]
        if rows or written:
            await anyio.to_thread.run_sync(kept.exchange, rows, [str(number) for number in written])
            for number in written:
                del self._saved[number]


def _rows(kept: Journal) -> dict[str, Row]:
    """What an earlier run has left: at most as many as are read ahead."""
    names = islice(kept.names(), 2 * _AHEAD)
    return {name: row for name in names if (row := kept.get(name)) is not None}


def _is_everybodys(error: ModelError, calls: Sampler) -> bool:
    """Whether an error would be that of every further line: the run ends, and can be continued."""
    cause = cause_of(error)
    if isinstance(cause, AuthenticationError):
        return True
    if isinstance(cause, ModelNotFoundError):
        return not calls.executor.answered
    return isinstance(cause, ModelError) and is_overload(cause) and calls.executor.alone
