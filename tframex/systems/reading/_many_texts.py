"""One task on several texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tframex.agents.base import check_prompt
from tframex.errors import ConfigurationError, PartialFailureError, TFrameXError
from tframex.systems._stopped import stopped
from tframex.systems.reading._reporting import Reporting
from tframex.systems.reading.record import LongTextResult
from tframex.tasks import Limit, Progress, ProgressCallback, map_bounded

__all__ = ["complete_all"]

# Texts that are read concurrently where only the server bounds the calls: each has its checkpoint open.
_TEXTS = 64


async def complete_all(
    one: Callable[[int], Awaitable[LongTextResult]],
    task: str,
    texts: Sequence[str],
    progress: ProgressCallback | None,
    limit: Limit | None,
) -> list[LongTextResult]:
    """The results of all texts, in order.

    Args:
        one: Reads the text of a number.
        task: The task.
        texts: The texts.
        progress: Called after each text.
        limit: The bound on the calls, or None.

    Raises:
        ConfigurationError: The task or a text is empty; nothing was sent.
        PartialFailureError: Some texts failed, or the callback did.
    """
    check_prompt(task, "initial_prompt")
    if isinstance(texts, str):
        raise ConfigurationError("long_texts must be a list of texts, not one text; for one, use run or complete")
    for number, text in enumerate(texts):
        check_prompt(text, f"long_texts[{number}]")
    errors: dict[str, Exception] = {}
    results: dict[str, LongTextResult] = {}

    async def read(number: int) -> None:
        try:
            results[str(number)] = await one(number)
        except ConfigurationError:
            raise
        except TFrameXError as error:
            errors[str(number)] = error
        done = len(results) + len(errors)
        reporting.put(Progress("text", done, len(texts), len(errors), detail=f"text {number}"))

    async with Reporting(progress) as reporting:
        await map_bounded(read, range(len(texts)), _TEXTS if limit is None else int(limit.limit))
    if reporting.error is not None:
        raise stopped(reporting.error, "texts", results, errors)
    if errors:
        first = next(iter(errors))
        raise PartialFailureError(
            f"{len(errors)} of {len(texts)} texts failed, the first of them number {first}: {errors[first]}",
            results=dict(results),
            errors=errors,
        )
    return [results[str(number)] for number in range(len(texts))]
