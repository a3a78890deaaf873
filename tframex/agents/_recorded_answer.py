"""Answers that an earlier process has received."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from tframex.completion import Completion
from tframex.events import Event, StepFinished, TextPiece
from tframex.tasks import Closing
from tframex.tools import CallRecorder

__all__ = ["recorded_answer"]


async def recorded_answer(
    recorder: CallRecorder,
    step: str,
    completions: list[Completion],
    ask: Callable[[str], AsyncGenerator[Event, None]],
) -> AsyncGenerator[Event, None]:
    """The events of a step: those of the answer that the recorder has, or those of asking for it.

    Args:
        recorder: What has been written down.
        step: The step.
        completions: The answer is added to these.
        ask: Asks for the answer, and adds it.
    """
    found = await recorder.answer(step)
    if found is not None:
        completions.append(found)
        if found.text:
            yield TextPiece(found.text, step)
        yield StepFinished(step, "answer", found, from_checkpoint=True)
        return
    async with Closing(ask(step)) as events:
        async for event in events:
            yield event
