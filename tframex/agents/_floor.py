"""Whose turn it is in a conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio

from tframex.errors import ConfigurationError

__all__ = ["Floor"]


class Floor:
    """One turn at a time.

    A second one of another task is refused: which of two concurrent prompts comes first would be chance. The same task has
    left a turn that is still open (a loop over a stream that ended with `break`), so that it is closed.
    """

    def __init__(self) -> None:
        self._turn: AsyncGenerator[Any, None] | None = None
        self._task = 0

    @property
    def taken(self) -> bool:
        """Whether there is a turn now."""
        return self._turn is not None

    async def take(self, turn: AsyncGenerator[Any, None]) -> None:
        """Begin a turn.

        Raises:
            ConfigurationError: Another one is not over.
        """
        task = anyio.get_current_task().id
        if self._turn is not None:
            if self._task != task:
                raise busy()
            try:
                await self._turn.aclose()
            except RuntimeError as exc:
                # It is running: this is called by something inside it.
                raise busy() from exc
        self._turn, self._task = turn, task

    def leave(self, turn: AsyncGenerator[Any, None]) -> None:
        """End a turn, unless another one has taken its place."""
        if self._turn is turn:
            self._turn = None


def busy() -> ConfigurationError:
    """The error for a second turn."""
    return ConfigurationError(
        "this conversation is answering another prompt; nothing was sent. Await that answer first, close its stream, or "
        "make a Conversation for each of them."
    )
