"""Which of several answers is the best."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import anyio

from tframex.agents.base import BaseAgent
from tframex.errors import ConfigurationError
from tframex.systems.many.samples import BestOf, Sample, Samples
from tframex.tasks import call_user, map_bounded
from tframex.text import strip_thinking

__all__ = ["Judge", "Score", "best", "judged"]

Judge: TypeAlias = Callable[[str], "float | Awaitable[float | None] | None"]
"""From an answer to its score; None for one that has none. A synchronous one runs in worker threads, as many
concurrently as the system makes calls."""
Score: TypeAlias = Callable[[str], Awaitable["float | None"]]

_PROMPT = """Task:
{task}

Answer to judge:
{answer}

How good is this answer to the task? Weigh whether it is right, complete and to the point. End with a line that says \
"Points: N", where N is a whole number from 0 (useless) to 100 (perfect)."""
# "Points: 85", "**Points:** 85/100.", or a line that is a bare number.
_POINTS = re.compile(r"^(?:.*points[^:]*:)?\W*(\d+(?:\.\d+)?)(?:\s*/\s*100)?\W*$", re.IGNORECASE | re.MULTILINE)
_MOST = 100
# Judges that run concurrently in threads, at the most.
_THREADS = 64


def judged(judge: Judge | BaseAgent, task: str) -> Score:
    """The judge as an asynchronous function.

    Raises:
        ConfigurationError: It is neither a function nor an agent.
    """
    if isinstance(judge, BaseAgent):
        agent = judge

        async def ask(answer: str) -> float | None:
            said = await agent.run(_PROMPT.format(task=task, answer=strip_thinking(answer)))
            points = _points_of(said)
            return points if points <= _MOST else None

        return ask
    if not callable(judge):
        raise ConfigurationError(f"judge must be a function from an answer to its score, or an agent, not {judge!r}")
    function = judge
    threads: anyio.CapacityLimiter | None = None

    async def score(answer: str) -> float | None:
        nonlocal threads
        # Its own threads: slow judges must not hold up what else needs one.
        threads = threads or anyio.CapacityLimiter(_THREADS)
        value = await call_user(function, answer, limiter=threads)
        if value is None:
            return None
        if isinstance(value, (str, bytes)):
            raise ConfigurationError(f"the judge must return a number or None, not {value!r}")
        return float(value)

    return score


def _points_of(said: object) -> float:
    """The points in what an agent has returned: in a text, a number, or an object that has `points` or a `score`."""
    if isinstance(said, str):
        found = _POINTS.findall(strip_thinking(said).strip())
        return float(found[-1]) if found else math.nan
    for name in ("points", "score"):
        value = said.get(name) if isinstance(said, Mapping) else getattr(said, name, None)
        if value is not None:
            said = value
            break
    if isinstance(said, (int, float)) and not isinstance(said, bool):
        return float(said)
    raise ConfigurationError(
        f"a judge that returns a value must return a number, or an object with points or a score, not {type(said).__name__}"
    )


async def best(samples: Samples, score: Score, limit: int, *, allow_truncated: bool = False) -> BestOf:
    """The sample with the highest score.

    Args:
        samples: The answers.
        score: The judge.
        limit: How many are judged concurrently.
        allow_truncated: Judge those that were cut off too.

    Raises:
        PartialFailureError: None has a score.
    """
    errors: dict[int, Exception] = {}

    async def judge(sample: Sample) -> float | None:
        try:
            return await score(sample.text)
        except Exception as error:
            # The answers and the other judgements have been paid for.
            errors[sample.index] = error
            return None

    answered = [s for s in samples if s.completion is not None and (allow_truncated or not s.truncated)]
    points = await map_bounded(judge, answered, limit)
    scores = {
        sample.index: value
        for sample, value in zip(answered, points, strict=True)
        if value is not None and math.isfinite(value)
    }
    if not scores:
        raise samples.unusable("got a score", errors, "" if allow_truncated else "were not judged")
    winner = max(answered, key=lambda sample: scores.get(sample.index, float("-inf")))
    return BestOf(winner, scores, samples, errors)
