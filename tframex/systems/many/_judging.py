"""Which of several answers is the best."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tframex.agents.base import BaseAgent
from tframex.errors import ConfigurationError, PartialFailureError
from tframex.systems.many.samples import BestOf, Sample, Samples
from tframex.tasks import map_bounded
from tframex.text import strip_thinking

__all__ = ["Judge", "Score", "best", "judged"]

Judge: TypeAlias = Callable[[str], "float | Awaitable[float | None] | None"]
"""From an answer to its score; None for one that has none."""
Score: TypeAlias = Callable[[str], Awaitable["float | None"]]

_PROMPT = """Task:
{task}

Answer to judge:
{answer}

How good is this answer to the task? Weigh whether it is right, complete and to the point. End with a line that says \
"Points: N", where N is a whole number from 0 (useless) to 100 (perfect)."""
# "Points: 85", "**Points:** 85/100.", or a bare number that is the whole line.
_POINTS = re.compile(r"^(?:.*points[^:]*:)?\W*(\d+(?:\.\d+)?)(?:\s*/\s*100)?\W*$", re.IGNORECASE | re.MULTILINE)
_MOST = 100


def judged(judge: Judge | BaseAgent, task: str) -> Score:
    """The judge as an asynchronous function.

    Raises:
        ConfigurationError: It is neither a function nor an agent.
    """
    if isinstance(judge, BaseAgent):
        agent = judge

        async def ask(answer: str) -> float | None:
            said = strip_thinking(await agent.run(_PROMPT.format(task=task, answer=strip_thinking(answer)))).strip()
            found = _POINTS.findall(said)
            points = float(found[-1]) if found else math.nan
            return points if points <= _MOST else None

        return ask
    if not callable(judge):
        raise ConfigurationError(f"judge must be a function from an answer to its score, or an agent, not {judge!r}")
    function = judge

    async def score(answer: str) -> float | None:
        value = function(answer)
        return await value if inspect.isawaitable(value) else value

    return score


async def best(samples: Samples, score: Score, at_once: int) -> BestOf:
    """The sample with the highest score; so many are judged at once.

    Raises:
        PartialFailureError: None has a score.
    """
    errors: dict[str, Exception] = {f"call_{s.index}": s.error for s in samples if s.error is not None}

    async def judge(sample: Sample) -> float | None:
        try:
            return await score(sample.text)
        except Exception as error:
            # The answers and the other judgements have been paid for.
            errors[f"call_{sample.index}"] = error
            return None

    answered = [sample for sample in samples if sample.completion is not None]
    points = await map_bounded(judge, answered, at_once)
    scores = {
        sample.index: value
        for sample, value in zip(answered, points, strict=True)
        if value is not None and math.isfinite(value)
    }
    if not scores:
        first = next(iter(errors.values()), None)
        raise PartialFailureError(
            f"none of {len(samples)} answers got a score" + (f"; the first failed with: {first}" if first else ""),
            results={f"call_{sample.index}": sample.text for sample in answered},
            errors=errors,
        )
    winner = max(answered, key=lambda sample: scores.get(sample.index, float("-inf")))
    return BestOf(winner, scores, samples)
