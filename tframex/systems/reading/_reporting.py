"""Reports of progress, and the end of a run whose callback raises."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from tframex.tasks import Progress, ProgressCallback, Reports

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Reporting"]


class Reporting:
    """Hands the progress of an `async with` block to a callback. Everything is reported when the block is left.

    What the callback raises cancels the block; it is `error` then, and not raised.

    Args:
        progress: The callback, or None.
    """

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._scope = anyio.CancelScope()
        self._reports = None if progress is None else Reports(progress, self._scope.cancel)

    @property
    def error(self) -> BaseException | None:
        """What the callback has raised."""
        return None if self._reports is None else self._reports.error

    def put(self, progress: Progress) -> None:
        """Report."""
        if self._reports is not None and self._reports.error is None:
            self._reports.put(progress)

    async def __aenter__(self) -> Self:
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        ended = self._scope.__exit__(exc_type, exc, tb)
        if self._reports is not None:
            await self._reports.close(drop=exc is not None)
        return bool(ended)
