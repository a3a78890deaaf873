"""What a judge is asked, who makes one answer of those of several readings."""

from __future__ import annotations

from tframex.systems.reading._plan import ReadingPlan, beginning

__all__ = ["judged", "share_of"]


async def share_of(plan: ReadingPlan, answers: int) -> int | None:
    """Tokens that each answer may have in the judge's prompt: long ones share what the window leaves."""
    budget = plan.runner.budget
    if budget.answering is None:
        return None
    left = budget.answering - budget.answer - plan.described
    return max(1, int(left * 0.7 / answers / max(plan.manager.counter.ratio, 1e-3)))


def judged(plan: ReadingPlan, answers: list[str], share: int | None) -> str:
    """What the judge is asked."""
    if share is not None:
        answers = [beginning(answer, share, plan.counter) for answer in answers]
    listed = "\n\n".join(f"Answer {number}:\n{answer}" for number, answer in enumerate(answers, start=1))
    return plan.prompts.judge.format(task=plan.task, answers=listed)
