"""What a model knows of its endpoint."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tframex._types import Messages
from tframex.exchange import Lookup, OutputLadder, RetryBudget
from tframex.model._connection import Connector
from tframex.model._identity import shaping
from tframex.model._settings import Settings
from tframex.model.base import BaseModel
from tframex.servers import ServerKind

__all__ = ["EndpointModel"]


class EndpointModel(BaseModel, ABC):
    """A model behind a connection: its window, its counts, what shapes its answers.

    Args:
        model_id: The served name.
        connector: Makes the connections.
        settings: The settings of a call that does not override them.
    """

    def __init__(self, model_id: str, connector: Connector, settings: Settings) -> None:
        super().__init__(model_id)
        self.default_temperature: float | None = None
        self._connector = connector
        self._settings = settings
        self._lookup = Lookup(model_id, connector.endpoint)
        self._budget = RetryBudget()

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together.

        That is `context_window`, if you gave it; else what the endpoint reports (asked once, at `/v1/models` or llama.cpp's
        `/props`, or taken from its refusal of a prompt that was too long); else None.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        return self.context_window or await self._lookup.window()

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long; `context_window` takes precedence over it.

        Args:
            window: Tokens that prompt and answer may have together.
        """
        if self.context_window is None:
            self._lookup.note_window(window)

    async def count_tokens(self, what: str | Messages, *, tools: Sequence[Mapping[str, Any]] = ()) -> int | None:
        """Tokens of a text or a conversation, counted by vLLM or llama.cpp; None if the endpoint does not count.

        Args:
            what: A text, or a conversation with what the chat template adds to it.
            tools: The definitions of tools that are sent with a conversation.

        Raises:
            ModelError: The endpoint could not be reached, or is busy.
        """
        return await self._lookup.count(what, tools)

    async def close_client(self) -> None:
        """Close the connections. The model can be used again afterwards."""
        await self._connector.aclose()

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        """What shapes the answers to requests with these options, apart from their messages.

        Checkpoints identify a call by it: the model, the options and, where an option is not given, the model's own
        setting; not the time limits, the retries or the headers.

        Args:
            options: The options of the call; they are not changed.
        """
        own: dict[str, Any] = {
            "model": self.model_id,
            "max_tokens": self.default_max_tokens,
            "temperature": self.default_temperature,
            "reasoning": self._settings.reasoning,
            "max_repeats": self._settings.max_repeats,
        }
        return shaping({**own, **options})

    async def _outputs(self, options: dict[str, Any]) -> tuple[OutputLadder, Callable[[], ServerKind]]:
        served = self._lookup.served_as(options.get("model") or self.model_id)
        # The first request asks as all later ones do.
        await self._lookup.identify(served)
        return served.outputs, lambda: served.server

    def _total_timeout(self, options: dict[str, Any]) -> float | None:
        return self._settings.override(dict(options)).total_timeout
