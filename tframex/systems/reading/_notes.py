"""Notes that stay within their share, and parts that turned out too large."""

from __future__ import annotations

from tframex.chunking import Chunk, chunk_text
from tframex.errors import ContextLengthError
from tframex.systems.reading._asking import ask_worker
from tframex.systems.reading._plan import ReadingPlan, beginning, user
from tframex.systems.reading._step_runner import Request
from tframex.systems.reading.budget import Budget

__all__ = ["bounded", "halves", "was_halved"]

# A part that the endpoint refuses is read in halves, down to this many tokens.
_SMALLEST = 32


async def bounded(plan: ReadingPlan, name: str, path: int, notes: str, budget: Budget) -> str:
    """Notes that stay within their share: condensed by the model, and cut if even that is too long.

    Args:
        plan: The run.
        name: The step that wrote them.
        path: Which reading it belongs to.
        notes: The notes.
        budget: What that step was made with.
    """
    tokens = await _tokens(plan, f"{name}/notes", notes, budget)
    if tokens <= budget.notes:
        return notes
    # A model that knows no limit may have written more than the request to condense it can hold.
    notes = _cut(plan, notes, tokens, 2 * budget.notes)
    messages = user(plan.prompts.condense.format(task=plan.task, notes=notes))
    request = Request("condense", plan.worker, messages, plan.worker_options, path=path)
    step, _ = await ask_worker(plan, f"{name}/condense", request)
    return _cut(plan, step.text, await _tokens(plan, f"{name}/condensed", step.text, budget), budget.notes)


async def was_halved(plan: ReadingPlan, name: str) -> bool:
    """Whether an earlier run was refused this part and reads it in halves: it need not be refused again."""
    return not await plan.runner.made(name) and await plan.runner.decided(f"{name}/halves") is not None


async def halves(plan: ReadingPlan, name: str, chunk: Chunk, error: ContextLengthError | None = None) -> list[Chunk]:
    """What to read instead of a part that the endpoint refused, since it counts otherwise than estimated."""

    async def decide() -> list[tuple[int, int]]:
        tokens = plan.counter.count(chunk.text)
        if tokens < _SMALLEST and error is not None:
            raise error
        if error is not None and error.context_window is not None:
            window = error.context_window
            await plan.runner.revise(lambda now: now.with_window(window))
        found = chunk_text(chunk.text, tokens // 2 + 1, counter=plan.counter)
        return [(chunk.start + half.start, chunk.start + half.end) for half in found]

    spans = await plan.runner.remember(f"{name}/halves", decide)
    return [Chunk(plan.text[start:end], start, end, 0) for start, end in spans]


async def _tokens(plan: ReadingPlan, name: str, notes: str, budget: Budget) -> int:
    """Tokens of notes, as the served model counts them; where they cannot be too many, they are not counted."""
    size = len(notes.encode("utf-8", "surrogatepass"))
    if size <= budget.notes:
        return size
    return await plan.runner.remember(name, lambda: plan.worker.counter.measure_text(notes))


def _cut(plan: ReadingPlan, notes: str, tokens: int, limit: int) -> str:
    """As much of the notes as has at most `limit` of their `tokens`."""
    if tokens <= limit:
        return notes
    return beginning(notes, max(1, int(plan.counter.count(notes) * limit / tokens * 0.95)), plan.counter)
