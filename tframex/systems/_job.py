"""The model calls of one run on one long text: limited in number, written down, reported."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion, Delta, Timings, Usage
from tframex.errors import ContextLengthError
from tframex.files import Journal, Row, content_key
from tframex.model._begun import Begun, going_on
from tframex.model.base import BaseModel
from tframex.model.counter import EndpointCounter
from tframex.systems.reading.record import Step
from tframex.tasks import Closing, Progress, ProgressCallback
from tframex.text import strip_thinking

__all__ = ["Job"]

# What a kill may cost: an unfinished answer is written down when it has grown by so many pieces and by a fiftieth (it is
# written as a whole each time, so long ones are written less often), and after so many seconds in any case.
_PIECES = 2
_SHARE = 50
_SECONDS = 0.1

T = TypeVar("T")

log = get_logger("tframex.systems")


class Job:
    """Carries out the steps of one run.

    Args:
        name: For logs.
        checkpoint: Where finished steps are kept, or None.
        places: The calls that may be in flight at once, shared by all jobs of a batch.
        progress: Called after each step, or None.
        meter: What measures the parts: what it has learned decides where the next one ends.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Journal | None,
        places: anyio.Semaphore,
        progress: ProgressCallback | None,
        meter: EndpointCounter,
    ) -> None:
        self._meter = meter
        self.steps: list[Step] = []
        self.planned = 1
        """Steps in all, as far as can be foreseen."""
        self._name = name
        self._checkpoint = checkpoint
        self._places = places
        self._progress = progress

    async def span(self, name: str, model: BaseModel) -> tuple[int, int] | None:
        """Beginning and end of the part that an earlier run gave to a step: a continued run cuts the text as it did."""
        row = await self._row(name)
        if row is None:
            return None
        # What the counter had learned by then decides where the next part ends.
        model.counter._restore(row.details.get("ratios", []))
        return row.start, row.end

    async def remember(self, name: str, decide: Callable[[], Awaitable[T]]) -> T:
        """A decision that a continued run must not make again, since by then it may know more: a value for JSON."""
        name = f"decision/{name}"
        row = await self._row(name)
        if row is not None:
            self._meter._restore(row.details["ratios"])
            value: T = row.details["value"]
            return value
        value = await decide()
        await self._save(Row(name, "", 0, 0, True, "", 0, {"value": value, "ratios": self._meter._state()}))
        return value

    async def step(
        self,
        name: str,
        kind: str,
        model: BaseModel,
        messages: Messages,
        options: dict[str, Any],
        *,
        path: int = 0,
        span: tuple[int, int] = (0, 0),
        tokens: int = 0,
    ) -> Step:
        """Make one call, unless an earlier run has made it. The arguments are those of `stream`."""
        pieces = self.stream(name, kind, model, messages, options, path=path, span=span, tokens=tokens)
        async with Closing(pieces) as events:
            async for event in events:
                if isinstance(event, Step):
                    return event
        raise AssertionError("a step ends with itself")

    async def stream(
        self,
        name: str,
        kind: str,
        model: BaseModel,
        messages: Messages,
        options: dict[str, Any],
        *,
        path: int = 0,
        span: tuple[int, int] = (0, 0),
        tokens: int = 0,
    ) -> AsyncGenerator[str | Step, None]:
        """Make one call, unless an earlier run has made it; give its text as it comes, then the step.

        Args:
            name: Which step of the job it is.
            kind: What it is for.
            model: Who is asked.
            messages: What is asked.
            options: Options for the model.
            path: Which reading it belongs to.
            span: Beginning and end of the part of the text it reads.
            tokens: Tokens of the prompt, as measured.
        """
        key = content_key(model.model_id, messages, options)
        row = await self._row(name)
        if row is not None and row.key != key:
            row = None
        if row is not None and row.done:
            step = _from_row(row, kind, path)
            yield step.text
        else:
            step = Step(kind, path, *span, "", tokens, options.get("max_tokens", 0))
            events = self._call(name, key, step, model, messages, options, row)
            async with self._places, Closing(events) as arriving:
                async for event in arriving:
                    if isinstance(event, Step):
                        step = event
                    else:
                        yield event
        self._done(step)
        yield step

    async def _call(
        self,
        name: str,
        key: str,
        step: Step,
        model: BaseModel,
        messages: Messages,
        options: dict[str, Any],
        begun: Row | None,
    ) -> AsyncGenerator[str | Step, None]:
        text: list[str] = []
        pieces = saved = 0
        saved_at = time.monotonic()
        completion: Completion | None = None

        async def keep() -> None:
            details = {"ratios": model.counter._state()}
            await self._save(Row(name, key, step.start, step.end, False, "".join(text), pieces, details))

        try:
            earlier = None if begun is None else Begun(begun.text, begun.tokens)
            async with Closing(going_on(model, messages, options, earlier)) as arriving:
                async for event in arriving:
                    if isinstance(event, Completion):
                        completion = event
                    elif isinstance(event, Delta) and event.content and event.index == 0:
                        again = earlier is not None and not text and event.content == earlier.text
                        pieces += earlier.tokens if earlier is not None and again else 1
                        text.append(event.content)
                        grown = pieces - saved >= max(_PIECES, pieces // _SHARE)
                        if grown or time.monotonic() - saved_at >= _SECONDS:
                            await keep()
                            saved, saved_at = pieces, time.monotonic()
                        yield event.content
        except ContextLengthError as error:
            if error.prompt_tokens:
                model.counter.observe(messages, error.prompt_tokens)
            if error.context_window:
                model._note_window(error.context_window)
            raise
        finally:
            if completion is None and text:
                # Also when the run is cancelled: what has arrived has been paid for.
                with anyio.CancelScope(shield=True):
                    await keep()
        if completion is None:
            raise TypeError(f"{type(model).__name__}.stream() must end with a Completion")
        usage = completion.usage
        if not model.counter.exact and not (usage is not None and usage.estimated):
            model.counter.observe(messages, usage.prompt_tokens if usage is not None else None)
        done = Step(
            step.kind,
            step.path,
            step.start,
            step.end,
            strip_thinking(completion.text),
            usage.prompt_tokens if usage is not None and not usage.estimated else step.prompt_tokens,
            step.max_tokens,
            usage,
            completion.timings,
        )
        details = {
            "prompt_tokens": done.prompt_tokens,
            "max_tokens": done.max_tokens,
            "usage": None if usage is None else asdict(usage),
            "timings": asdict(completion.timings),
            "finish_reason": completion.finish_reason,
            "ratios": model.counter._state(),
        }
        await self._save(Row(name, key, step.start, step.end, True, done.text, pieces, details))
        yield done

    async def _row(self, name: str) -> Row | None:
        if self._checkpoint is None:
            return None
        return await anyio.to_thread.run_sync(self._checkpoint.get, name)

    async def _save(self, row: Row) -> None:
        if self._checkpoint is not None:
            await anyio.to_thread.run_sync(self._checkpoint.put, row)

    def _done(self, step: Step) -> None:
        self.steps.append(step)
        if self._progress is not None:
            total = max(self.planned, len(self.steps))
            self._progress(Progress(step.kind, len(self.steps), total, detail=step.text))


def _from_row(row: Row, kind: str, path: int) -> Step:
    details = row.details
    usage = details.get("usage")
    return Step(
        kind,
        path,
        row.start,
        row.end,
        row.text,
        details.get("prompt_tokens", 0),
        details.get("max_tokens", 0),
        None if usage is None else Usage(**usage),
        Timings(**details["timings"]) if "timings" in details else Timings(None, 0.0),
        from_checkpoint=True,
    )
