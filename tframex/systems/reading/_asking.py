"""Asks a worker or the manager with room for both: the thought, and the text after it."""

from __future__ import annotations

from typing import Any

from tframex._logging import get_logger
from tframex.errors import ContextLengthError, ModelError
from tframex.model import BaseModel
from tframex.systems.reading._plan import ReadingPlan
from tframex.systems.reading._step_runner import Request
from tframex.systems.reading.budget import Budget
from tframex.systems.reading.record import Step

__all__ = ["ask_manager", "ask_worker"]

# How often a step whose thought has left no room for its text is asked again, each time with more.
_TRIES = 4

log = get_logger("tframex.systems")


async def ask_worker(plan: ReadingPlan, name: str, request: Request) -> tuple[Step, Budget]:
    """A step of the worker's, and the budget it was made with.

    What the model has thought is learned: later steps have room for it beside what they are to write.

    Raises:
        ContextLengthError: The request, or the thought beside it, does not fit; ask for less.
        ModelError: It has returned no text in any attempt.
    """
    runner = plan.runner
    own = name
    for attempt in range(1, _TRIES + 1):
        budget = runner.budget
        step, budget = await runner.step(own, request, budget.writing, budget)
        starved = step.cut and step.thinking > 0
        if starved or step.thinking > budget.slack + budget.thinking:
            wanted = 2 * step.thinking if starved else step.thinking + step.thinking // 2
            await runner.revise(lambda now, wanted=wanted: now.with_thinking(wanted))  # type: ignore[misc]
        if step.text and not starved:
            return step, budget

        async def decide(step: Step = step, attempt: int = attempt) -> str:
            now = runner.budget
            more = now.writing > step.max_tokens
            if attempt == _TRIES or not (more or (attempt == 1 and not step.text and not step.cut)):
                return "end"
            return "halve" if now.reading is not None and step.prompt_tokens + now.writing > now.reading else "ask"

        then = await runner.remember(f"{own}/next", decide)
        log.info("step without a complete text", step=own, thinking=step.thinking, then=then)
        if then == "halve":
            raise ContextLengthError(
                f"{_empty(request.model, name, step)} The text leaves no more room for them in the window.",
                model_id=request.model.model_id,
            )
        if then == "end":
            if step.text:
                return step, budget
            break
        own = f"{name}/again{attempt}"
    raise ModelError(_empty(request.model, name, step), model_id=request.model.model_id)


async def ask_manager(plan: ReadingPlan, name: str, request: Request) -> Step:
    """A step of the manager's, whose answer gets what the window leaves.

    Raises:
        ModelError: It has returned no answer in any attempt.
    """
    runner = plan.runner
    own, wanted = name, runner.budget.answer
    asked = plan.options.get(request.limit)
    if isinstance(asked, int):
        wanted = min(asked, wanted)
    step: Step | None = None
    for attempt in range(1, _TRIES + 1):

        async def room(wanted: int = wanted) -> int:
            fitted: dict[str, Any] = await request.model.fit(
                request.messages, {**request.options, request.limit: wanted}
            )
            return int(fitted[request.limit])

        most = await runner.remember(f"{own}/room", room)
        if step is not None and step.cut and most <= step.max_tokens:
            break
        step, _ = await runner.step(own, request, most, runner.budget)
        if step.text or (attempt > 1 and not step.cut):
            break
        own = f"{name}/again{attempt}"
        if step.cut:
            wanted = 2 * max(step.max_tokens, step.thinking)
    assert step is not None
    if not step.text:
        raise ModelError(_empty(request.model, name, step), model_id=request.model.model_id)
    return step


def _empty(model: BaseModel, name: str, step: Step) -> str:
    if not step.thinking:
        return (
            f"{model.model_id!r} has written nothing in step {name!r}, in any attempt. Change the prompt, or use another "
            "model."
        )
    return (
        f"{model.model_id!r} has written nothing in step {name!r}: its thoughts took {step.thinking} of the "
        f"{step.max_tokens} tokens it might write. Raise max_tokens, max_notes or the window the server is started with, "
        'or turn thinking off: chat_template_kwargs={"enable_thinking": False} with Qwen3, say.'
    )
