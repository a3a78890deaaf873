"""What is raised where a progress callback has ended a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tframex.errors import PartialFailureError

__all__ = ["stopped"]


def stopped(
    error: BaseException, what: str, results: Mapping[str, Any], errors: Mapping[str, Exception]
) -> BaseException:
    """The error of a run, with what has been paid for; `SystemExit` and `KeyboardInterrupt` stay what they are.

    Args:
        error: What the callback has raised.
        what: What the results are, in the plural.
        results: What had arrived, by name.
        errors: What had failed, by name.
    """
    if not isinstance(error, Exception):
        return error
    failure = PartialFailureError(
        f"the run was stopped, because the progress callback raised {type(error).__name__}: {error}. The {len(results)} "
        f"{what} that had arrived are in `results` of this error.",
        results=dict(results),
        errors={**errors, "progress": error},
    )
    failure.__cause__ = error
    return failure
