"""Notes that stay within their share, and parts that turned out too large."""

from __future__ import annotations

from tframex.chunking import Chunk, chunk_text
from tframex.errors import ContextLengthError
from tframex.systems._job import Job
from tframex.systems.reading._run import ReadingPlan, beginning, user

__all__ = ["bounded", "halves"]

# A part that the endpoint refuses is read in halves, down to this many tokens.
_SMALLEST = 32


async def bounded(run: ReadingPlan, job: Job, name: str, path: int, notes: str) -> str:
    """Notes that stay within their share: condensed by the model, and cut if even that is too long."""
    tokens = await _tokens(run, job, f"{name}/notes", notes)
    if tokens <= run.notes:
        return notes
    # A model that knows no limit may have written more than the request to condense it can hold.
    notes = _cut(run, notes, tokens, 2 * run.notes)
    messages = user(run.prompts.condense.format(task=run.task, notes=notes))
    step = await job.step(f"{name}/condense", "condense", run.worker, messages, run.worker_options, path=path)
    shorter = step.text or notes
    return _cut(run, shorter, await _tokens(run, job, f"{name}/condensed", shorter), run.notes)


def halves(run: ReadingPlan, chunk: Chunk, error: ContextLengthError) -> list[Chunk]:
    """What to read instead of a part that the endpoint refused, since it counts otherwise than estimated."""
    tokens = run.counter.count(chunk.text)
    if tokens < _SMALLEST:
        raise error
    if run.reading.window is None and error.context_window is not None:
        run.learn_window(error.context_window)
    return [
        Chunk(half.text, chunk.start + half.start, chunk.start + half.end, half.tokens)
        for half in chunk_text(chunk.text, tokens // 2 + 1, counter=run.counter)
    ]


async def _tokens(run: ReadingPlan, job: Job, name: str, notes: str) -> int:
    """Tokens of notes, as the served model counts them; where they cannot be too many, nobody is asked."""
    size = len(notes.encode("utf-8", "surrogatepass"))
    return size if size <= run.notes else await job.remember(name, lambda: run.worker.counter.measure_text(notes))


def _cut(run: ReadingPlan, notes: str, tokens: int, limit: int) -> str:
    """As much of the notes as has at most `limit` of their `tokens`."""
    if tokens <= limit:
        return notes
    return beginning(notes, max(1, int(run.counter.count(notes) * limit / tokens * 0.95)), run.counter)
