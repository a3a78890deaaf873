"""What the fake server answers when asked about its models, its version, its tokens."""

from __future__ import annotations

from typing import Any

from tframex.servers import server_named
from tframex.testing._engine import Engine

__all__ = ["look_up"]


def look_up(engine: Engine, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """The status and the JSON that answer a request for anything but a completion."""
    vllm = engine.dialect == "vllm"
    if path == "/v1/models":
        owner = server_named(engine.dialect).owners[0]
        entry: dict[str, Any] = {"id": engine.model, "object": "model", "created": 1795342936, "owned_by": owner}
        if vllm:
            entry.update(root="smollm2-hf", parent=None, max_model_len=engine.context_window)
        return 200, {"object": "list", "data": [entry]}
    if path == "/version" and vllm:
        return 200, {"version": "0.32.0"}
    if path == "/health":
        return 200, {} if vllm else {"status": "ok"}
    if path == "/tokenize" and vllm:
        ids = engine.vocabulary.ids(engine.render(body) if "messages" in body else body.get("prompt", ""))
        return 200, {"count": len(ids), "max_model_len": engine.context_window, "tokens": ids, "token_strs": None}
    if path == "/tokenize" and engine.dialect == "llama.cpp":
        # Other fields than vLLM's; those are answered with an empty list.
        return 200, {"tokens": engine.vocabulary.ids(body.get("content", ""))}
    if path == "/v1/chat/completions/input_tokens" and engine.dialect == "llama.cpp":
        return 200, {"input_tokens": len(engine.vocabulary.ids(engine.render(body))), "object": "response.input_tokens"}
    if path == "/detokenize" and vllm:
        return 200, {"prompt": engine.vocabulary.text(body["tokens"])}
    if path == "/props" and engine.dialect == "llama.cpp":
        return 200, {"default_generation_settings": {"n_ctx": engine.context_window}, "total_slots": 2}
    return 404, {"detail": "Not Found"}
