"""Where requests go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from tframex.errors import ModelError
from tframex.exchange._edge import ErrorEdge
from tframex.exchange._models_list import entry_of, read_json, read_models

if TYPE_CHECKING:
    import openai

__all__ = ["Endpoint"]


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and how its errors are translated.

    Attributes:
        client: The official client.
        edge: Translates its exceptions into ours.
    """

    client: openai.AsyncOpenAI
    edge: ErrorEdge

    @classmethod
    def of(cls, client: openai.AsyncOpenAI, model_id: str) -> Endpoint:
        """The endpoint of an official client, for one of the models behind it."""
        return cls(client, ErrorEdge.of(client, model_id))

    @property
    def model_id(self) -> str:
        """The served name."""
        return self.edge.model_id

    def translate(self, exc: Exception) -> ModelError:
        """The `ModelError` for an exception of a request to this endpoint."""
        return self.edge.translate(exc)

    async def owner(self, model: str, seconds: float) -> str:
        """Who serves a model, according to the models list; empty if that is not reported within `seconds`."""
        import httpx2  # with the official client, when it is first needed

        try:
            with anyio.fail_after(seconds):
                response = await self.client.get("/models", cast_to=httpx2.Response, options={"max_retries": 0})
            return entry_of(model, read_models(read_json(response)), response.headers).owner
        except Exception:
            return ""
