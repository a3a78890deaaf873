"""What one check has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["Finding", "Status"]

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes:
        check: Which check.
        status: `"failed"` makes the endpoint unusable; with a `"warning"` it works, but slower or with less certainty.
        detail: What was seen.
        cause: The probable cause, if something is wrong.
        fix: What to do about it.
        data: Figures, for programs.
    """

    check: str
    status: Status
    detail: str
    cause: str = ""
    fix: str = ""
    data: dict[str, Any] = field(default_factory=dict)
