"""A model without a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from tframex._types import Messages
from tframex.errors import ConfigurationError
from tframex.model.base import BaseModel

__all__ = ["ScriptedModel"]


class ScriptedModel(BaseModel):
    """Returns scripted answers, and records what it was asked.

    Args:
        script: What to answer: texts in order, each for one call (an exception among them is raised); one text for all
            calls; or a function from the messages to a text.
        model_id: Its name.
        context_window: Tokens that prompt and answer may have together, for systems that plan with it.

    Attributes:
        calls: The messages and options of every call, in order.
    """

    def __init__(
        self,
        script: str | Iterable[str | Exception] | Callable[[Messages], str],
        *,
        model_id: str = "scripted",
        context_window: int | None = None,
    ) -> None:
        super().__init__(model_id)
        self.context_window = context_window
        self.calls: list[tuple[Messages, dict[str, Any]]] = []
        self._fixed = script if isinstance(script, str) or callable(script) else None
        self._lines = iter(()) if isinstance(script, str) or callable(script) else iter(script)

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        """The next answer, word by word."""
        self.calls.append((messages, options))
        if callable(self._fixed):
            line: str | Exception = self._fixed(messages)
        elif self._fixed is not None:
            line = self._fixed
        else:
            try:
                line = next(self._lines)
            except StopIteration:
                raise ConfigurationError(
                    f"the script of {self!r} has no answer left for call {len(self.calls)}"
                ) from None
        if isinstance(line, Exception):
            raise line
        for number, word in enumerate(line.split(" ")):
            yield f" {word}" if number else word
