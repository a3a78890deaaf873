"""Where requests go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from tframex.errors import ModelError
from tframex.exchange._failures import redact, translate

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

    async def owner(self, seconds: float) -> str:
        """Who serves the first model of the list; empty if the endpoint does not say in time."""
        try:
            with anyio.fail_after(seconds):
                models = await self.client.with_options(max_retries=0).models.list()
            return models.data[0].owned_by or "" if models.data else ""
        except Exception:
            return ""
