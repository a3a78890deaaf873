"""What an endpoint says about itself: who it is, its context window, how many tokens a conversation has.

vLLM and llama.cpp answer some of these at the root of the server, not under `/v1`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx2

from tframex._types import Messages

if TYPE_CHECKING:
    import openai

__all__ = ["Lookup", "Served"]

_SECONDS = 30.0


@dataclass(frozen=True)
class Served:
    """What the models list says of one model.

    Attributes:
        name: What it is called there.
        owner: Who serves it, such as `"vllm"` or `"llamacpp"`; empty if nobody says.
        window: Tokens that prompt and answer may have together, or None.
    """

    owner: str = ""
    window: int | None = None
    name: str = ""


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

    async def served(self) -> Served:
        """Who serves the model, and its window.

        Raises:
            openai.OpenAIError: The endpoint could not be asked.
        """
        models = await self.models()
        model = next((model for model in models if model.name == self._model), models[0] if models else Served())
        if model.owner == "llamacpp" and model.window is None:
            props = await self._get(f"{self._root}/props")
            window = (props.get("default_generation_settings") or {}).get("n_ctx")
            return replace(model, window=window if isinstance(window, int) else None)
        return model

    async def models(self) -> list[Served]:
        """Every model of the list.

        Raises:
            openai.OpenAIError: The endpoint could not be asked.
        """
        body = await self._get("/models")
        return [_served(entry) for entry in _list(body.get("data")) if isinstance(entry, dict)]

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
        return _json(await self._client.get(path, cast_to=httpx2.Response, options=self._options()))

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _json(await self._client.post(path, cast_to=httpx2.Response, body=body, options=self._options()))

    @staticmethod
    def _options() -> Any:
        return {"max_retries": 0, "timeout": _SECONDS}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _served(entry: dict[str, Any]) -> Served:
    window = entry.get("max_model_len")
    return Served(
        str(entry.get("owned_by") or ""), window if isinstance(window, int) else None, str(entry.get("id") or "")
    )


def _json(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
