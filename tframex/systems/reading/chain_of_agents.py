"""Reading a text that is longer than the context window, one part after the other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Literal, get_args

from tframex._checks import check_count
from tframex._logging import get_logger
from tframex.chunking import Chunk, Chunker
from tframex.errors import ConfigurationError, ContextLengthError
from tframex.model.base import BaseModel
from tframex.systems._job import Job
from tframex.systems.reading._notes import bounded, halves
from tframex.systems.reading._run import ReadingPlan, beginning, user
from tframex.systems.reading.long_text import LongTextSystem
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.systems.reading.record import Step
from tframex.tasks import Closing, map_bounded
from tframex.tokens import TokenCounter

__all__ = ["ChainOfAgents"]

Order = Literal["forward", "backward"]
Decision = Literal["judge", "vote"]

_NOTHING = "-"
_ENOUGH = "ENOUGH"
_STOP_EARLY = (
    f"\n\nIf the notes already hold everything that the task needs, so that no further part can change the answer, end "
    f"them with the word {_ENOUGH} on a line of its own."
)

log = get_logger("tframex.systems")


class ChainOfAgents(LongTextSystem):
    """Reads a long text part by part and carries notes along; at the end a manager answers from the notes.

    After "Chain of Agents" (Zhang et al., NeurIPS 2024, arXiv 2406.02818): each worker sees the task, the notes of the one
    before and the next part, and writes new notes. A text that fits into one request is answered directly. Costs one model
    call for each part and one for the answer, times `paths`.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.
        chunk_size: The most tokens of a chunk. None: as many as fit into the window, or 2000 where that is not known.
        chunk_overlap: Tokens that neighbouring chunks share, so that no sentence loses its context. None: 100, but at most
            a quarter of the chunk.
        max_notes: The most tokens of the notes, a quarter of the window at most. None: as many as an answer, but at most an
            eighth of the window.
        counter: What counts chunks; the default uses cl100k.
        prompts: What the models are asked.
        worker: The model that reads and takes notes, if it is not `model`.
        manager: The model that answers, if it is not `model`.
        order: Whether the first path reads from the beginning or from the end.
        paths: How many times the text is read, each time in another order: first `order`, then its reverse, then shuffled
            orders. The paper's multi-path variants answer better, at so many times the price.
        decide: How several answers become one: `"judge"` has the manager write the best one, `"vote"` takes the one that
            most paths gave (for short answers).
        stop_early: Let a worker say that the notes hold all the task needs; the rest is then not read.
        max_concurrency: Calls in flight at once.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | None = None,
        manager: BaseModel | None = None,
        order: Order = "forward",
        paths: int = 1,
        decide: Decision = "judge",
        stop_early: bool = False,
        max_concurrency: int = 16,
    ) -> None:
        super().__init__(
            system_id,
            model,
            chunk_size,
            chunk_overlap,
            max_notes=max_notes,
            counter=counter,
            prompts=prompts,
            worker=worker,
            manager=manager,
            max_concurrency=max_concurrency,
        )
        for name, value, known in (("order", order, get_args(Order)), ("decide", decide, get_args(Decision))):
            if value not in known:
                raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
        self.order = order
        self.paths = check_count("paths", paths)
        self.decide = decide
        self.stop_early = stop_early

    def _settings(self) -> dict[str, Any]:
        own = {"order": self.order, "paths": self.paths, "decide": self.decide, "stop_early": self.stop_early}
        return {**super()._settings(), **own}

    async def _work(self, run: ReadingPlan, job: Job, answers: list[str]) -> AsyncGenerator[str | Step, None]:
        direct = await job.remember("direct", partial(self._fits_whole, run))
        if direct is not None:
            prompt = self.prompts.direct.format(task=run.task, text=run.text)
            final = self._final(job, "answer", "answer", prompt, run, span=(0, len(run.text)), tokens=direct)
        elif self.paths == 1 and self.order == "forward":
            notes = await self._read_on(run, job)
            final = self._answer(run, job, notes, 0)
        else:
            parts = await self._parts(run, job)
            orders = self._orders(len(parts))
            job.planned = (len(parts) + 1) * len(orders) + (len(orders) > 1 and self.decide == "judge")
            if len(orders) == 1:
                notes = await self._read_parts(run, job, parts, orders[0], 0)
                final = self._answer(run, job, notes, 0)
            else:
                found = await map_bounded(
                    lambda path: self._one_path(run, job, parts, orders[path], path),
                    range(len(orders)),
                    self.max_concurrency,
                )
                answers += [step.text for step in found]
                if self.decide == "vote":
                    chosen = found[_most_common(answers)]
                    yield chosen.text
                    yield chosen
                    return
                share = await job.remember("judge/share", partial(self._share, run, len(answers)))
                final = self._final(job, "judge", "judge", self._judged(run, answers, share), run, path=len(orders))
        async with Closing(final) as events:
            async for event in events:
                yield event

    # -- the whole text at once ----------------------------------------------------------------------------------

    async def _fits_whole(self, run: ReadingPlan) -> int | None:
        """Tokens of the request that answers directly, or None if the text is too long for it."""
        size, window = self.chunk_size, run.answering.window
        if self.paths > 1:
            return None
        if window is None or size is not None:
            most = size or 2000
            # Counting a long text only to hear that it is long is not needed.
            if len(run.text) > 16 * most or run.counter.count(run.text) > most:
                return None
            if window is None:
                return run.counter.count(run.text)
        messages = user(self.prompts.direct.format(task=run.task, text=run.text))
        meter = self.manager.counter
        limit = window - run.answer
        if len(run.text) > 16 * limit or meter.count_messages(messages) > 1.2 * limit:
            return None
        tokens = await meter.measure(messages)
        return tokens if tokens <= limit else None

    # -- forward: each part as large as the notes leave room for ----------------------------------------------------

    async def _read_on(self, run: ReadingPlan, job: Job) -> str:
        chunker = Chunker(run.text, counter=run.counter)
        notes, start, reached, number = "", 0, 0, 0
        while reached < len(run.text):
            name = f"0/{number}"
            span = await job.span(name, self.worker)
            if span is not None and span[0] <= reached < span[1] <= len(run.text):
                chunk = Chunk(run.text[span[0] : span[1]], *span, 0)
                tokens = 0
            else:
                build = partial(self._asked, run, notes)
                chunk, tokens = await run.reading.next(chunker, start, reached, run.writing, build)
            left = (len(run.text) - chunk.end) / max(1, chunk.end - chunk.start)
            job.planned = len(job.steps) + 2 + int(left + 0.99)
            notes, enough = await self._read(run, job, name, 0, notes, chunk, tokens)
            if enough:
                log.info("enough read", system=self.system_id, part=number, characters=chunk.end)
                break
            reached = chunk.end
            size = chunk.tokens or run.counter.count(chunk.text)
            overlap = self._overlap(size)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(run.text) else reached
            number += 1
        return notes

    # -- other orders: parts that are cut beforehand --------------------------------------------------------------

    async def _parts(self, run: ReadingPlan, job: Job) -> list[Chunk]:
        """Parts that fit whatever the notes are, since their full share is left free."""
        spans = await job.remember("plan", partial(self._plan, run))
        return [Chunk(run.text[start:end], start, end, 0) for start, end in spans]

    async def _plan(self, run: ReadingPlan) -> list[tuple[int, int]]:
        chunker = Chunker(run.text, counter=run.counter)
        spans: list[tuple[int, int]] = []
        start = reached = 0
        while reached < len(run.text):
            build = partial(self._asked, run, "")
            chunk, _ = await run.reading.next(chunker, start, reached, run.writing + run.notes, build)
            spans.append((chunk.start, chunk.end))
            reached = chunk.end
            overlap = self._overlap(chunk.tokens)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(run.text) else reached
        return spans

    def _orders(self, count: int) -> list[list[int]]:
        forward = list(range(count))
        first = forward if self.order == "forward" else forward[::-1]
        orders = [first, first[::-1]]
        while len(orders) < self.paths:
            # Seeded by the path: a run that is continued reads in the same orders.
            shuffled = list(forward)
            random.Random(len(orders)).shuffle(shuffled)  # noqa: S311 - not a secret
            orders.append(shuffled)
        return orders[: self.paths]

    async def _one_path(self, run: ReadingPlan, job: Job, parts: list[Chunk], order: list[int], path: int) -> Step:
        notes = await self._read_parts(run, job, parts, order, path)
        async with Closing(self._answer(run, job, notes, path)) as events:
            async for event in events:
                if isinstance(event, Step):
                    return event
        raise AssertionError("a step ends with itself")

    async def _read_parts(self, run: ReadingPlan, job: Job, parts: list[Chunk], order: list[int], path: int) -> str:
        notes = ""
        for number in order:
            notes, enough = await self._read(run, job, f"{path}/{number}", path, notes, parts[number], 0)
            if enough:
                break
        return notes

    # -- one part -------------------------------------------------------------------------------------------------

    async def _read(
        self, run: ReadingPlan, job: Job, name: str, path: int, notes: str, chunk: Chunk, tokens: int
    ) -> tuple[str, bool]:
        """The notes with what a part adds to them, and whether the worker has said that they are enough."""
        try:
            step = await job.step(
                name,
                "chunk",
                self.worker,
                self._asked(run, notes, chunk.text),
                run.worker_options,
                path=path,
                span=(chunk.start, chunk.end),
                tokens=tokens,
            )
        except ContextLengthError as error:
            enough = False
            for part, half in enumerate(halves(run, chunk, error)):
                if not enough:
                    notes, enough = await self._read(run, job, f"{name}.{part}", path, notes, half, 0)
            return notes, enough
        written, enough = step.text, False
        lines = written.rstrip().splitlines()
        if self.stop_early and lines and lines[-1].strip() == _ENOUGH:
            written, enough = "\n".join(lines[:-1]).rstrip(), True
        if not written:
            # A thought that took all the tokens, say. What earlier workers found must not be lost with it.
            log.warning("worker wrote no notes", system=self.system_id, step=name)
            return notes, enough
        return await bounded(run, job, name, path, written), enough

    def _asked(self, run: ReadingPlan, notes: str, chunk: str) -> Any:
        task = run.task + _STOP_EARLY if self.stop_early else run.task
        return user(self.prompts.worker.format(task=task, notes=notes or _NOTHING, chunk=chunk))

    def _answer(self, run: ReadingPlan, job: Job, notes: str, path: int) -> AsyncGenerator[str | Step, None]:
        prompt = self.prompts.manager.format(task=run.task, notes=notes or _NOTHING)
        return self._final(job, f"{path}/answer", "answer", prompt, run, path=path)

    async def _share(self, run: ReadingPlan, answers: int) -> int | None:
        """Tokens that each answer may have in the judge's prompt: long ones share what the window leaves."""
        window = run.answering.window
        if window is None:
            return None
        return max(1, int((window - run.answer) * 0.7 / answers / max(self.manager.counter.ratio, 1e-3)))

    def _judged(self, run: ReadingPlan, answers: list[str], share: int | None) -> str:
        if share is not None:
            answers = [beginning(answer, share, run.counter) for answer in answers]
        listed = "\n\n".join(f"Answer {number}:\n{answer}" for number, answer in enumerate(answers, start=1))
        return self.prompts.judge.format(task=run.task, answers=listed)


def _most_common(answers: list[str]) -> int:
    """The number of the first answer among those that most paths gave, case, white space and a final stop aside."""
    normal = [" ".join(answer.casefold().split()).rstrip(".!") for answer in answers]
    return normal.index(Counter(normal).most_common(1)[0][0])
