"""What an endpoint can do when an answer breaks off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from tframex.exchange._wire import Chunk

__all__ = ["Abilities"]

EndpointKind = Literal["unknown", "vllm", "llama.cpp", "openai"]

_OWNERS: dict[str, EndpointKind] = {
    "vllm": "vllm",
    "llamacpp": "llama.cpp",
    "openai": "openai",
    "system": "openai",
}


@dataclass
class Abilities:
    """Learned from what the endpoint sends anyway, once per model, and corrected when a guess was wrong.

    Attributes:
        kind: Which server it is.
        token_ids: It sends token ids when asked, so that an answer can be continued token-exactly.
        continues: It continues a partial assistant message. None: not tried yet.
        probed: The models list was asked who serves it.
    """

    kind: EndpointKind = "unknown"
    token_ids: bool = False
    continues: bool | None = None
    probed: bool = False

    def learn_from_headers(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of any response."""
        if self.kind == "unknown":
            if headers.get("server") == "llama.cpp":
                self._is("llama.cpp")
            elif "openai-version" in headers:
                self._is("openai")

    def learn_from_chunk(self, chunk: Chunk) -> None:
        """Learn from the first chunk of an answer: only vLLM sends the field `prompt_token_ids`, also when not asked."""
        if chunk.prompt_token_ids is not msgspec.UNSET:
            self._is("vllm")
            self.token_ids = True
        elif chunk.system_fingerprint and chunk.system_fingerprint.startswith("vllm-"):
            self._is("vllm")

    def learn_from_owner(self, owner: str) -> None:
        """Learn from `owned_by` of the models list."""
        if self.kind == "unknown":
            kind = _OWNERS.get(owner, "unknown")
            self._is(kind)
            # A vLLM that has none yet ignores the question.
            self.token_ids = kind == "vllm"

    def _is(self, kind: EndpointKind) -> None:
        self.kind = kind
        if self.continues is None and kind != "unknown":
            # OpenAI starts a new message after a partial one.
            self.continues = kind != "openai"
