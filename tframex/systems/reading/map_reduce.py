"""Reading all parts of a long text at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from itertools import islice
from typing import Any

from tframex.chunking import Chunk, Chunker
from tframex.errors import ContextLengthError
from tframex.systems._job import Job
from tframex.systems.reading._notes import bounded, halves
from tframex.systems.reading._run import ReadingPlan, beginning, user
from tframex.systems.reading.long_text import LongTextSystem
from tframex.systems.reading.record import Step
from tframex.tasks import Closing, map_bounded

__all__ = ["MapReduceSystem"]

_NOTHING = "-"


class MapReduceSystem(LongTextSystem):
    """Reads all parts of a long text at the same time, joins the notes, and answers from them.

    For when latency matters more than order: a worker does not know what the others have read. Notes that do not fit into
    one request together are joined in groups of two or more, again at the same time, until they do: each round leaves about
    half as many notes at most, so that it ends. Costs one model call for each part, one for each group, and one for the
    answer.

    The arguments are those of `LongTextSystem`.
    """

    async def _work(self, run: ReadingPlan, job: Job, answers: list[str]) -> AsyncGenerator[str | Step, None]:
        first, parts = await self._parts(run, job)
        job.planned = len(first) + len(parts) + 1
        notes = first + await map_bounded(lambda part: self._read(run, job, *part), parts, self.max_concurrency)
        notes = [note for note in notes if note]
        level = 0
        while sizes := await job.remember(f"groups/{level}", partial(self._sizes, run, notes)):
            following = iter(notes)
            groups = [list(islice(following, size)) for size in sizes]
            job.planned = len(job.steps) + len(groups) + 1
            named = [(f"collapse/{level}/{number}", group) for number, group in enumerate(groups)]
            notes = await map_bounded(lambda work: self._collapse(run, job, *work), named, self.max_concurrency)
            level += 1
        prompt = self.prompts.manager.format(task=run.task, notes=_joined(notes))
        async with Closing(self._final(job, "answer", "answer", prompt, run)) as events:
            async for event in events:
                yield event

    async def _parts(self, run: ReadingPlan, job: Job) -> tuple[list[str], list[tuple[str, Chunk, int]]]:
        """The parts, each with the name of its step and the tokens of its request; and notes that were taken on the way."""
        notes: list[str] = []
        spans = await job.remember("plan", partial(self._plan, run, job, notes))
        parts = [(f"read/{n}", Chunk(run.text[start:end], start, end, 0), 0) for n, (start, end) in enumerate(spans)]
        return notes, parts[len(notes) :]

    async def _plan(self, run: ReadingPlan, job: Job, notes: list[str]) -> list[tuple[int, int]]:
        chunker = Chunker(run.text, counter=run.counter)
        spans: list[tuple[int, int]] = []
        start = reached = 0
        while reached < len(run.text):
            build = partial(self._asked, run)
            chunk, tokens = await run.reading.next(chunker, start, reached, run.writing, build)
            if not spans and run.reading.window is not None and not self.worker.counter.knows:
                # Nobody counts for us: the first answer says how much more the next request can hold.
                notes.append(await self._read(run, job, "read/0", chunk, tokens))
            spans.append((chunk.start, chunk.end))
            reached = chunk.end
            overlap = self._overlap(chunk.tokens)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(run.text) else reached
        return spans

    async def _read(self, run: ReadingPlan, job: Job, name: str, chunk: Chunk, tokens: int) -> str:
        try:
            step = await job.step(
                name,
                "chunk",
                self.worker,
                self._asked(run, chunk.text),
                run.worker_options,
                span=(chunk.start, chunk.end),
                tokens=tokens,
            )
        except ContextLengthError as error:
            parts = enumerate(halves(run, chunk, error))
            read = [await self._read(run, job, f"{name}.{part}", half, 0) for part, half in parts]
            return await bounded(run, job, name, 0, _joined([notes for notes in read if notes]))
        return await bounded(run, job, name, 0, step.text)

    async def _collapse(self, run: ReadingPlan, job: Job, name: str, group: list[str]) -> str:
        if len(group) == 1:
            return group[0]
        messages = self._asked(run, _joined(group))
        try:
            step = await job.step(name, "collapse", self.worker, messages, run.worker_options)
        except ContextLengthError:
            # Only an endpoint that does not count for us refuses what was thought to fit.
            middle = len(group) // 2
            rest = [
                await self._collapse(run, job, f"{name}.{part}", half)
                for part, half in enumerate((group[:middle], group[middle:]))
            ]
            room = run.counter.count(_joined(rest)) // 2 + 1
            return beginning(_joined(rest), room, run.counter)
        return await bounded(run, job, name, 0, step.text or group[0])

    def _asked(self, run: ReadingPlan, chunk: str) -> Any:
        return user(self.prompts.worker.format(task=run.task, notes=_NOTHING, chunk=chunk))

    async def _fits(self, run: ReadingPlan, notes: list[str]) -> bool:
        window = run.answering.window
        messages = user(self.prompts.manager.format(task=run.task, notes=_joined(notes)))
        if window is None:
            return run.counter.count(_joined(notes)) <= max(2 * run.notes, self.chunk_size or 2000)
        return self.manager.counter.bound(messages) <= window - run.answer or (
            await self.manager.counter.measure(messages) <= window - run.answer
        )

    async def _sizes(self, run: ReadingPlan, notes: list[str]) -> list[int]:
        """How many neighbours are joined in one request each, two of them at least; nothing if all fit the manager's."""
        if len(notes) < 2 or await self._fits(run, notes):
            return []
        window = run.reading.window
        groups: list[list[str]] = [[]]
        for note in notes:
            candidate = [*groups[-1], note]
            fits = len(candidate) <= 2 or await self._fits_worker(run, candidate, window)
            if fits:
                groups[-1] = candidate
            else:
                groups.append([note])
        return [len(group) for group in groups]

    async def _fits_worker(self, run: ReadingPlan, group: list[str], window: int | None) -> bool:
        if window is None:
            return run.counter.count(_joined(group)) <= max(2 * run.notes, self.chunk_size or 2000)
        messages = self._asked(run, _joined(group))
        meter = self.worker.counter
        return meter.bound(messages) <= window - run.writing or (await meter.measure(messages)) <= window - run.writing


def _joined(notes: list[str]) -> str:
    return "\n\n".join(notes) or _NOTHING
