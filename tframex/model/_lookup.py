"""What an endpoint says about itself: who it is, its context window, how many tokens a conversation has.

vLLM and llama.cpp answer some of these at the root of the server, not under `/v1`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2

from tframex._types import Messages
from tframex.exchange import ModelEntry, entry_of, read_json, read_models

if TYPE_CHECKING:
    import openai

__all__ = ["Lookup"]

_SECONDS = 30.0


class Lookup:
    """Asks one endpoint.

    Args:
        client: The official client.
        model: The served name.
    """

    def __init__(self, client: openai.AsyncOpenAI, model: str) -> None:
        self._client = client
        self._model = model
        self._root = str(client.base_url).rstrip("/").removesuffix("/v1")

    async def served(self) -> ModelEntry:
        """Who serves the model, and its window.

        Raises:
            openai.OpenAIError: The endpoint could not be asked.
        """
        response = await self._send("/models")
        model = entry_of(self._model, read_models(read_json(response)), response.headers)
        if model.owner == "llamacpp" and model.window is None:
            props = await self._get(f"{self._root}/props")
            window = (props.get("default_generation_settings") or {}).get("n_ctx")
            return replace(model, window=window if isinstance(window, int) else None)
        return model

    async def models(self) -> list[ModelEntry]:
        """Every model of the list.

        Raises:
            openai.OpenAIError: The endpoint could not be asked.
        """
        return read_models(await self._get("/models"))

    async def count(self, what: str | Messages, owner: str) -> int | None:
        """Tokens of a text, or of a conversation with what the chat template adds; None if it is not said.

        Raises:
            openai.OpenAIError: The endpoint could not be asked, or refused.
        """
        body: dict[str, Any] = {"model": self._model}
        if owner == "llamacpp":
            # Its /tokenize takes other fields than vLLM's, and answers those with an empty list.
            if isinstance(what, str):
                tokens = (await self._post(f"{self._root}/tokenize", {"content": what})).get("tokens")
                return len(tokens) if isinstance(tokens, list) and (tokens or not what) else None
            count = (await self._post("/chat/completions/input_tokens", {**body, "messages": what})).get("input_tokens")
        else:
            asked: dict[str, Any] = {"prompt": what} if isinstance(what, str) else {"messages": what}
            if isinstance(what, str):
                asked["add_special_tokens"] = False
            count = (await self._post(f"{self._root}/tokenize", {**body, **asked})).get("count")
        return count if isinstance(count, int) else None

    async def _get(self, path: str) -> dict[str, Any]:
        return read_json(await self._send(path))

    async def _send(self, path: str) -> httpx2.Response:
        return await self._client.get(path, cast_to=httpx2.Response, options=self._options())

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return read_json(await self._client.post(path, cast_to=httpx2.Response, body=body, options=self._options()))

    @staticmethod
    def _options() -> Any:
        return {"max_retries": 0, "timeout": _SECONDS}
