"""Asking an endpoint about itself: who serves the model, its context window, how many tokens a conversation has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tframex._types import Messages
from tframex.errors import ModelConnectionError, ModelError, ModelStatusError, ResponseFormatError
from tframex.exchange._endpoint import Endpoint
from tframex.exchange._models_list import ModelEntry, entry_of, read_json, read_models
from tframex.exchange._retry import is_transient
from tframex.exchange._served_model import ServedModel
from tframex.servers import UNKNOWN, Counting, server_of_owner

__all__ = ["Lookup"]

_SECONDS = 30.0


class Lookup:
    """Asks an endpoint about one of its models, once, and remembers the answer.

    Args:
        model: The served name.
        connect: Gives the endpoint, on the running loop.

    Attributes:
        served: What is known of the model.
    """

    def __init__(self, model: str, connect: Callable[[], Awaitable[Endpoint]]) -> None:
        self.served = ServedModel()
        self._model = model
        self._connect = connect
        self._others: dict[str, ServedModel] = {}

    def served_as(self, model: str) -> ServedModel:
        """What is known of a model: a call may name another one, served by another kind of server."""
        return self.served if model == self._model else self._others.setdefault(model, ServedModel())

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together, or None where that is not reported.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        if self.served.window is None:
            await self._describe()
        return self.served.window

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long."""
        self.served.window = window

    async def continues(self) -> bool:
        """Whether the endpoint continues a partial answer, as far as is known or can be found out now."""
        if self.served.continues is None:
            with suppress(ModelConnectionError):
                await self._describe()
        return bool(self.served.continues)

    async def identify(self, served: ServedModel) -> None:
        """Find out what kind of server it is, as far as that can be found out now."""
        if served is self.served and served.server is UNKNOWN:
            with suppress(ModelConnectionError):
                await self._describe()

    async def models(self) -> list[ModelEntry]:
        """Every model the endpoint serves.

        Raises:
            ModelError: The endpoint could not be reached, or refused.
        """
        endpoint = await self._connect()
        try:
            return read_models(read_json(await _get(endpoint, "/models")))
        except Exception as exc:
            raise endpoint.translate(exc) from exc

    async def count(self, what: str | Messages, tools: Sequence[Mapping[str, Any]] = ()) -> int | None:
        """Tokens of a text or a conversation, counted by the endpoint; None if it does not count.

        Args:
            what: The text or the conversation.
            tools: The definitions of tools that are sent with it.

        Raises:
            ModelError: The endpoint could not be reached, or is busy.
        """
        await self._describe()
        endpoint = await self._connect()
        server = self.served.server
        try:
            counting = server.counts_text if isinstance(what, str) else server.counts_chat
            return await self._count(endpoint, what, counting, tools)
        except Exception as exc:
            error = endpoint.translate(exc)
            if _is_no(error):
                return None
            raise error from exc

    async def _count(
        self, endpoint: Endpoint, what: str | Messages, counting: Counting, tools: Sequence[Mapping[str, Any]]
    ) -> int | None:
        path = f"{_root(endpoint)}{counting.path}" if counting.at_root else counting.path
        body = {"model": self._model, counting.asked: what, **counting.options}
        if tools:
            body["tools"] = tools
        found = read_json(await _post(endpoint, path, body)).get(counting.answer)
        if isinstance(found, list):
            # A server answers fields that it does not know with an empty list.
            return len(found) if found or not what else None
        return found if isinstance(found, int) else None

    async def _describe(self) -> None:
        """Ask who serves the model, and its window.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        served = self.served
        if served.described:
            return
        endpoint = await self._connect()
        try:
            entry = await self._entry(endpoint)
        except Exception as exc:
            error = endpoint.translate(exc)
            if not isinstance(error, (ModelStatusError, ResponseFormatError)):
                raise error from exc
            # After a transient failure the endpoint is asked again next time. After any other it is taken not to report
            # anything; if something else is wrong, the next request shows it.
            served.described = not is_transient(error)
            return
        served.described = True
        served.window = served.window or entry.window
        served.learn_from_owner(entry.owner)

    async def _entry(self, endpoint: Endpoint) -> ModelEntry:
        response = await _get(endpoint, "/models")
        entry = entry_of(self._model, read_models(read_json(response)), response.headers)
        where = server_of_owner(entry.owner).window
        if entry.window is None and where is not None:
            found = where.find(read_json(await _get(endpoint, f"{_root(endpoint)}{where.path}")))
            return ModelEntry(entry.owner, found if isinstance(found, int) else None, entry.name)
        return entry


def _root(endpoint: Endpoint) -> str:
    # vLLM and llama.cpp answer some questions at the root of the server, not under `/v1`.
    return str(endpoint.client.base_url).rstrip("/").removesuffix("/v1")


def _is_no(error: ModelError) -> bool:
    return isinstance(error, (ModelStatusError, ResponseFormatError)) and not is_transient(error)


async def _get(endpoint: Endpoint, path: str) -> Any:
    import httpx2  # with the official client, when it is first needed

    return await endpoint.client.get(path, cast_to=httpx2.Response, options=_options())


async def _post(endpoint: Endpoint, path: str, body: dict[str, Any]) -> Any:
    import httpx2

    return await endpoint.client.post(path, cast_to=httpx2.Response, body=body, options=_options())


def _options() -> Any:
    return {"max_retries": 0, "timeout": _SECONDS}
