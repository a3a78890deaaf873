"""Reading a text that is longer than the context window, one part after the other."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

from tframex._checks import check_count
from tframex._logging import get_logger
from tframex.agents import BaseAgent
from tframex.chunking import Chunk, Chunker
from tframex.errors import ConfigurationError, ContextLengthError
from tframex.events import TextPiece
from tframex.model import BaseModel
from tframex.systems.reading._asking import ask_worker
from tframex.systems.reading._fitting import fits_directly
from tframex.systems.reading._judging import judged, share_of
from tframex.systems.reading._notes import bounded, halves, was_halved
from tframex.systems.reading._orders import most_common, reading_orders
from tframex.systems.reading._plan import ReadingPlan, user
from tframex.systems.reading._step_runner import Request
from tframex.systems.reading.long_text import LongTextSystem
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.systems.reading.record import Step
from tframex.tasks import map_bounded
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
        model: The model to work with; or an agent, each of whose runs is then a call.
        chunk_size: The most tokens of a chunk. None: as many as fit into the window, or 2000 where that is not known.
        chunk_overlap: Tokens that neighbouring chunks share, so that no sentence loses its context. None: 100, but at most
            a quarter of the chunk.
        max_notes: The most tokens of the notes, a quarter of the window at most. None: as many as an answer, but at most an
            eighth of the window.
        counter: What counts chunks; the default uses cl100k.
        prompts: What the models are asked.
        worker: The model or agent that reads and takes notes, if it is not `model`.
        manager: The model or agent that answers, if it is not `model`.
        order: Whether the first path reads from the beginning or from the end.
        paths: How many times the text is read, each time in another order: first `order`, then its reverse, then shuffled
            orders. The paper's multi-path variants answer better, at `paths` times the price.
        decide: How several answers become one: `"judge"` has the manager write the best one, `"vote"` takes the one that
            most paths gave (for short answers).
        stop_early: Let a worker say that the notes hold all the task needs; the rest is then not read.
        max_concurrency: The most calls of this system in flight. `"auto"`: as many as the server turns out to take, shared
            by all systems on one model; a number is a further bound.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | BaseAgent | None = None,
        manager: BaseModel | BaseAgent | None = None,
        order: Order = "forward",
        paths: int = 1,
        decide: Decision = "judge",
        stop_early: bool = False,
        max_concurrency: int | Literal["auto"] = "auto",
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

    async def _work(self, plan: ReadingPlan) -> tuple[Step, list[str]]:
        runner = plan.runner
        direct = await runner.remember("direct", partial(self._fits_directly, plan))
        if direct is not None:
            prompt = self.prompts.direct.format(task=plan.task, text=plan.text)
            return await self._final(plan, "answer", "answer", prompt, span=(0, len(plan.text)), tokens=direct), []
        if self.paths == 1 and self.order == "forward":
            return await self._answer(plan, await self._read_on(plan), 0), []
        parts = await self._parts(plan)
        orders = reading_orders(len(parts), self.paths, backward=self.order == "backward")
        runner.planned = (len(parts) + 1) * len(orders) + (len(orders) > 1 and self.decide == "judge")
        if len(orders) == 1:
            return await self._answer(plan, await self._read_parts(plan, parts, orders[0], 0), 0), []
        found = await map_bounded(
            lambda path: self._one_path(plan, parts, orders[path], path),
            range(len(orders)),
            len(orders) if self._limit is None else int(self._limit.limit),
        )
        answers = [step.text for step in found]
        if self.decide == "vote":
            chosen = found[most_common([plan.said(answer) for answer in answers])]
            runner.emit(TextPiece(chosen.text))
            return chosen, answers
        share = await runner.remember("judge/share", partial(share_of, plan, len(answers)))
        return await self._final(plan, "judge", "judge", judged(plan, answers, share), path=len(orders)), answers

    async def _fits_directly(self, plan: ReadingPlan) -> int | None:
        """Tokens of the request that answers directly, or None if the text is too long for it."""
        if self.paths > 1:
            return None
        budget = plan.runner.budget
        messages = user(self.prompts.direct.format(task=plan.task, text=plan.text))
        limit = None if budget.answering is None else budget.answering - budget.answer - plan.described
        return await fits_directly(self.manager, messages, plan.text, plan.counter, self.chunk_size, limit)

    # -- forward: each part as large as the notes leave room for ----------------------------------------------------

    async def _read_on(self, plan: ReadingPlan) -> str:
        runner, text = plan.runner, plan.text
        chunker = Chunker(text, counter=plan.counter)
        notes, start, reached, number = "", 0, 0, 0
        while reached < len(text):
            name = f"0/{number}"
            span = await runner.span(name, self.worker)
            if span is not None and span[0] <= reached < span[1] <= len(text):
                chunk, tokens = Chunk(text[span[0] : span[1]], *span, 0), 0
            else:
                budget = runner.budget
                build = partial(self._asked, plan, notes)
                fitted = plan.fitting.next(chunker, start, reached, budget.writing, build, budget.reading)
                chunk, tokens = await fitted
            left = (len(text) - chunk.end) / max(1, chunk.end - chunk.start)
            runner.planned = len(runner.steps) + 2 + int(left + 0.99)
            notes, enough = await self._read(plan, name, 0, notes, chunk, tokens)
            if enough:
                log.info("enough read", system=self.system_id, part=number, characters=chunk.end)
                break
            reached = chunk.end
            size = chunk.tokens or plan.counter.count(chunk.text)
            overlap = self._overlap(size)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(text) else reached
            number += 1
        return notes

    # -- other orders: parts that are cut beforehand --------------------------------------------------------------

    async def _parts(self, plan: ReadingPlan) -> list[Chunk]:
        """Parts that fit whatever the notes are, since their full share is left free."""
        spans = await plan.runner.remember("plan", partial(self._spans, plan))
        return [Chunk(plan.text[start:end], start, end, 0) for start, end in spans]

    async def _spans(self, plan: ReadingPlan) -> list[tuple[int, int]]:
        chunker = Chunker(plan.text, counter=plan.counter)
        spans: list[tuple[int, int]] = []
        start = reached = 0
        budget = plan.runner.budget
        while reached < len(plan.text):
            build = partial(self._asked, plan, "")
            answer = budget.writing + budget.notes
            chunk, _ = await plan.fitting.next(chunker, start, reached, answer, build, budget.reading)
            spans.append((chunk.start, chunk.end))
            reached = chunk.end
            overlap = self._overlap(chunk.tokens)
            start = chunker.overlap(chunk, overlap) if overlap and reached < len(plan.text) else reached
        return spans

    async def _one_path(self, plan: ReadingPlan, parts: list[Chunk], order: list[int], path: int) -> Step:
        notes = await self._read_parts(plan, parts, order, path)
        return await self._answer(plan, notes, path, streamed=False)

    async def _read_parts(self, plan: ReadingPlan, parts: list[Chunk], order: list[int], path: int) -> str:
        notes = ""
        for number in order:
            notes, enough = await self._read(plan, f"{path}/{number}", path, notes, parts[number], 0)
            if enough:
                break
        return notes

    # -- one part -------------------------------------------------------------------------------------------------

    async def _read(
        self, plan: ReadingPlan, name: str, path: int, notes: str, chunk: Chunk, tokens: int
    ) -> tuple[str, bool]:
        """The notes with what a part adds to them, and whether the worker has said that they are enough."""
        if await was_halved(plan, name):
            return await self._read_halves(plan, name, path, notes, await halves(plan, name, chunk))
        request = Request(
            "chunk",
            self.worker,
            self._asked(plan, notes, chunk.text),
            plan.worker_options,
            path=path,
            span=(chunk.start, chunk.end),
            tokens=tokens,
        )
        try:
            step, budget = await ask_worker(plan, name, request)
        except ContextLengthError as error:
            return await self._read_halves(plan, name, path, notes, await halves(plan, name, chunk, error))
        written, enough = step.text, False
        lines = written.rstrip().splitlines()
        if self.stop_early and lines and lines[-1].strip() == _ENOUGH:
            written, enough = "\n".join(lines[:-1]).rstrip(), True
        if not written:
            # Enough without a note: what earlier workers found must not be lost with it.
            return notes, enough
        return await bounded(plan, name, path, written, budget), enough

    async def _read_halves(
        self, plan: ReadingPlan, name: str, path: int, notes: str, parts: list[Chunk]
    ) -> tuple[str, bool]:
        enough = False
        for number, half in enumerate(parts):
            if not enough:
                notes, enough = await self._read(plan, f"{name}.{number}", path, notes, half, 0)
        return notes, enough

    def _asked(self, plan: ReadingPlan, notes: str, chunk: str) -> Any:
        task = plan.task + _STOP_EARLY if self.stop_early else plan.task
        return user(self.prompts.worker.format(task=task, notes=notes or _NOTHING, chunk=chunk))

    async def _answer(self, plan: ReadingPlan, notes: str, path: int, *, streamed: bool = True) -> Step:
        prompt = self.prompts.manager.format(task=plan.task, notes=notes or _NOTHING)
        return await self._final(plan, f"{path}/answer", "answer", prompt, path=path, streamed=streamed)
