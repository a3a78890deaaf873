"""Where requests go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from tframex.errors import ModelError
from tframex.exchange._failures import redact, translate
from tframex.exchange._models_list import entry_of, read_json, read_models

if TYPE_CHECKING:
    import openai

__all__ = ["Endpoint"]


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and how errors call it."""

    client: openai.AsyncOpenAI
    model_id: str
    url: str
    secret: str = ""

    def translate(self, exc: Exception) -> ModelError:
        """The `ModelError` for an exception of a request to this endpoint."""
        if isinstance(exc, ModelError):
            error = exc
        else:
            error = translate(exc, model_id=self.model_id, url=self.url)
            error.__cause__ = exc
        redact(error, self.secret)
        return error

    async def owner(self, model: str, seconds: float) -> str:
        """Who serves a model, as the models list says; empty if it does not say, or not in time."""
        import httpx2  # with the official client, when it is first needed

        try:
            with anyio.fail_after(seconds):
                response = await self.client.get("/models", cast_to=httpx2.Response, options={"max_retries": 0})
            return entry_of(model, read_models(read_json(response)), response.headers).owner
        except Exception:
            return ""
