"""Reading all parts of a long text concurrently."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from tframex.chunking import Chunk, Chunker
from tframex.errors import ContextLengthError
from tframex.systems.reading._asking import ask_worker
from tframex.systems.reading._notes import bounded, halves, was_halved
from tframex.systems.reading._plan import ReadingPlan, beginning, user
from tframex.systems.reading._step_runner import Request
from tframex.systems.reading.long_text import LongTextSystem
from tframex.systems.reading.record import Step
from tframex.tasks import map_bounded

__all__ = ["MapReduceSystem"]

T = TypeVar("T")

_NOTHING = "-"


class MapReduceSystem(LongTextSystem):
    """Reads all parts of a long text at the same time, joins the notes, and answers from them.

    For when latency matters more than order: a worker does not know what the others have read. Notes that do not fit into
    one request together are joined in groups of two or more, again at the same time, until they do: each round leaves about
    half as many notes at most, so that it ends. Costs one model call for each part, one for each group, and one for the
    answer.

    The arguments are those of `LongTextSystem`.
    """

    async def _work(self, plan: ReadingPlan) -> tuple[Step, list[str]]:
        runner = plan.runner
        first, parts = await self._parts(plan)
        runner.planned = len(first) + len(parts) + 1
        notes = first + await self._map(lambda part: self._read(plan, *part), parts)
        notes = [note for note in notes if note]
        level = 0
        while sizes := await runner.remember(f"groups/{level}", partial(self._sizes, plan, notes)):
            following = iter(notes)
            groups = [list(islice(following, size)) for size in sizes]
            runner.planned = len(runner.steps) + len(groups) + 1
            named = [(f"collapse/{level}/{number}", group) for number, group in enumerate(groups)]
            notes = await self._map(lambda work: self._collapse(plan, *work), named)
            level += 1
        prompt = self.prompts.manager.format(task=plan.task, notes=_joined(notes))
        return await self._final(plan, "answer", "answer", prompt), []

    async def _map(self, function: Callable[[T], Awaitable[str]], items: list[T]) -> list[str]:
        return await map_bounded(function, items, len(items) if self._limit is None else int(self._limit.limit))

    async def _parts(self, plan: ReadingPlan) -> tuple[list[str], list[tuple[str, Chunk, int]]]:
        """The parts, each with the name of its step and the tokens of its request; and notes that were taken on the way."""
        notes: list[str] = []
        spans = await plan.runner.remember("plan", partial(self._spans, plan, notes))
        parts = [(f"read/{n}", Chunk(plan.text[start:end], start, end, 0), 0) for n, (start, end) in enumerate(spans)]
        return notes, parts[len(notes) :]

    async def _spans(self, plan: ReadingPlan, notes: list[str]) -> list[tuple[int, int]]:
        chunker = Chunker(plan.text, counter=plan.counter)
        spans: list[tuple[int, int]] = []
        start = reached = 0
        while reached < len(plan.text):
            budget = plan.runner.budget
            build = partial(self._asked, plan)
            chunk, tokens = await plan.fitting.next(chunker, start, reached, budget.writing, build, budget.reading)
            if not spans and budget.reading is not None and not self.worker.counter.knows:
                # The endpoint does not count: the first answer says how much more the next request can hold.
                notes.append(await self._read(plan, "read/0", chunk, tokens))
            spans.append((chunk.start, chunk.end))
            reached = chunk.end
            overlap = self._overlap(chunk.tokens)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(plan.text) else reached
        return spans

    async def _read(self, plan: ReadingPlan, name: str, chunk: Chunk, tokens: int) -> str:
        if await was_halved(plan, name):
            return await self._read_halves(plan, name, await halves(plan, name, chunk))
        request = Request(
            "chunk",
            self.worker,
            self._asked(plan, chunk.text),
            plan.worker_options,
            span=(chunk.start, chunk.end),
            tokens=tokens,
        )
        try:
            step, budget = await ask_worker(plan, name, request)
        except ContextLengthError as error:
            return await self._read_halves(plan, name, await halves(plan, name, chunk, error))
        return await bounded(plan, name, 0, step.text, budget)

    async def _read_halves(self, plan: ReadingPlan, name: str, parts: list[Chunk]) -> str:
        read = [await self._read(plan, f"{name}.{number}", half, 0) for number, half in enumerate(parts)]
        notes = _joined([notes for notes in read if notes])
        number = await plan.runner.remember(f"{name}/joined", self._number(plan))
        return await bounded(plan, name, 0, notes, plan.runner.budgets[number])

    @staticmethod
    def _number(plan: ReadingPlan) -> Callable[[], Awaitable[int]]:
        async def decide() -> int:
            return plan.runner.budget.number

        return decide

    async def _collapse(self, plan: ReadingPlan, name: str, group: list[str]) -> str:
        if len(group) == 1:
            return group[0]
        request = Request("collapse", self.worker, self._asked(plan, _joined(group)), plan.worker_options)
        try:
            step, budget = await ask_worker(plan, name, request)
        except ContextLengthError:
            # Only an endpoint that does not count for us refuses what was thought to fit.
            middle = len(group) // 2
            rest = [
                await self._collapse(plan, f"{name}.{part}", half)
                for part, half in enumerate((group[:middle], group[middle:]))
            ]
            room = plan.counter.count(_joined(rest)) // 2 + 1
            return beginning(_joined(rest), room, plan.counter)
        return await bounded(plan, name, 0, step.text, budget)

    def _asked(self, plan: ReadingPlan, chunk: str) -> Any:
        return user(self.prompts.worker.format(task=plan.task, notes=_NOTHING, chunk=chunk))

    async def _fits(self, plan: ReadingPlan, notes: list[str]) -> bool:
        budget = plan.runner.budget
        if budget.answering is None:
            return plan.counter.count(_joined(notes)) <= max(2 * budget.notes, self.chunk_size or 2000)
        messages = user(self.prompts.manager.format(task=plan.task, notes=_joined(notes)))
        meter, limit = self.manager.counter, budget.answering - budget.answer - plan.described
        return meter.bound(messages) <= limit or await meter.measure(messages) <= limit

    async def _sizes(self, plan: ReadingPlan, notes: list[str]) -> list[int]:
        """How many neighbours are joined in one request each, two of them at least; nothing if all fit the manager's."""
        if len(notes) < 2 or await self._fits(plan, notes):
            return []
        groups: list[list[str]] = [[]]
        for note in notes:
            candidate = [*groups[-1], note]
            if len(candidate) <= 2 or await self._fits_worker(plan, candidate):
                groups[-1] = candidate
            else:
                groups.append([note])
        return [len(group) for group in groups]

    async def _fits_worker(self, plan: ReadingPlan, group: list[str]) -> bool:
        budget = plan.runner.budget
        if budget.reading is None:
            return plan.counter.count(_joined(group)) <= max(2 * budget.notes, self.chunk_size or 2000)
        messages = self._asked(plan, _joined(group))
        meter, limit = self.worker.counter, budget.reading - budget.writing
        return meter.bound(messages) <= limit or await meter.measure(messages) <= limit


def _joined(notes: list[str]) -> str:
    return "\n\n".join(notes) or _NOTHING
