"""What is known of the endpoint behind a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from tframex._types import Messages
from tframex.errors import ModelConnectionError, ModelStatusError, ResponseFormatError
from tframex.exchange import Abilities, ModelEntry, is_transient
from tframex.model._connection import Connection
from tframex.model._lookup import Lookup

__all__ = ["Knowledge"]


class Knowledge:
    """Asks the endpoint what it is, once, and keeps what its answers show.

    Args:
        model_id: The served name.
        connect: Gives the connection of the running loop.
    """

    def __init__(self, model_id: str, connect: Callable[[], Awaitable[Connection]]) -> None:
        self.abilities = Abilities()
        self._model_id = model_id
        self._connect = connect
        self._served: ModelEntry | None = None
        self._others: dict[str, Abilities] = {}

    def abilities_of(self, model: str) -> Abilities:
        """What the endpoint can do with a model: a call may name another one, which something else may serve."""
        return self.abilities if model == self._model_id else self._others.setdefault(model, Abilities())

    def forget(self) -> None:
        """Forget who serves the model: it has moved."""
        self._served = None

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together, or None.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        return (self._served or await self.served()).window

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long."""
        self._served = ModelEntry(self._served.owner if self._served else "", window)

    async def served(self) -> ModelEntry:
        """Who serves the model.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        if self._served is None:
            connection = await self._connect()
            try:
                self._served = await Lookup(connection.endpoint.client, self._model_id).served()
            except Exception as exc:
                error = connection.endpoint.translate(exc)
                if not isinstance(error, (ModelStatusError, ResponseFormatError)):
                    raise error from exc
                if is_transient(error):
                    return ModelEntry()  # Not now; the next question may be answered.
                # It does not say. Whatever else is wrong the next request will show.
                self._served = ModelEntry()
            self.abilities.learn_from_owner(self._served.owner)
        return self._served

    async def models(self) -> list[ModelEntry]:
        """Every model the endpoint serves.

        Raises:
            ModelError: The endpoint could not be reached, or refused.
        """
        connection = await self._connect()
        try:
            return await Lookup(connection.endpoint.client, self._model_id).models()
        except Exception as exc:
            raise connection.endpoint.translate(exc) from exc

    async def continues(self) -> bool:
        """Whether the endpoint goes on after a partial answer, as far as is known or can be found out now."""
        if self.abilities.continues is None:
            with suppress(ModelConnectionError):
                await self.served()
        return bool(self.abilities.continues)

    async def count(self, what: str | Messages) -> int | None:
        """Tokens of a text or a conversation, counted by the endpoint; None if it does not count.

        Raises:
            ModelError: The endpoint could not be reached, or is busy.
        """
        served = await self.served()
        connection = await self._connect()
        try:
            return await Lookup(connection.endpoint.client, self._model_id).count(what, served.owner)
        except Exception as exc:
            error = connection.endpoint.translate(exc)
            if isinstance(error, (ModelStatusError, ResponseFormatError)) and not is_transient(error):
                return None
            raise error from exc
