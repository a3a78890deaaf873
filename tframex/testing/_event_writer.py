"""The bytes of the events that a real server sends."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tframex.testing._calls import CallBegin, CallPiece
from tframex.testing._vocabulary import EOS, OPEN, Vocabulary

__all__ = ["EventWriter"]

_CREATED = 1795342942
_FINGERPRINT = "vllm-0.32.0-5bcc8d6b"


@dataclass
class EventWriter:
    """Writes generated tokens as the events of a stream.

    Args:
        model: The name the model is served under.
        dialect: Whose bytes to write: `"vllm"`, `"llama.cpp"` or `"openai"`.
        vocabulary: The ids of the tokens.
    """

    model: str
    dialect: str
    vocabulary: Vocabulary

    def chat(
        self,
        body: Mapping[str, Any],
        prompt: str,
        prompt_ids: list[int],
        words: list[str],
        thinking: bool,
        limit: int,
    ) -> Iterator[tuple[bytes, int]]:
        """The events of a chat completion, and how many tokens each of them took."""
        head = {
            "id": f"chatcmpl-{zlib.crc32(prompt.encode()):016x}",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": self.model,
        }
        vllm = self.dialect == "vllm"
        with_ids = vllm and bool(body.get("return_token_ids"))
        choices = range(body.get("n") or 1)
        for index in choices:
            delta = {"role": "assistant", "content": "" if vllm else None}
            chunk = {**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}]}
            if vllm:
                chunk.update(prompt_token_ids=prompt_ids if with_ids else None, prompt_text=None)
            yield _event(chunk), 0
        generated, called = 0, False
        for word, finish, ids in self.tokens(words, limit):
            if word in (OPEN, "</think>"):
                # The parser swallows it; only its token id is left, and only if ids were asked for.
                thinking = word == OPEN
                if not finish:
                    generated += len(ids)
                    if with_ids:
                        bare = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None, "token_ids": ids}
                        yield _event({**head, "choices": [bare]}), len(ids)
                    continue
                word = ""
            if isinstance(word, CallBegin):
                called = True
            elif finish == "stop" and called and not isinstance(body.get("tool_choice"), dict):
                finish = "tool_calls"
            for index in choices:
                choice: dict[str, Any] = {
                    "index": index,
                    "delta": _delta(word, "reasoning" if thinking else "content"),
                    "logprobs": None,
                    "finish_reason": None,
                }
                if finish and not vllm:
                    if word:
                        yield _event({**head, "choices": [choice]}), len(ids)
                    choice = {"index": index, "delta": {}, "finish_reason": finish}
                elif finish:
                    choice.update(finish_reason=finish, stop_reason=None)
                if vllm:
                    choice["token_ids"] = ids if with_ids else None
                yield _event({**head, "choices": [choice]}), len(ids) if word or vllm else 0
            generated += len(ids) * len(choices)
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {
                "prompt_tokens": len(prompt_ids),
                "total_tokens": len(prompt_ids) + generated,
                "completion_tokens": generated,
            }
            yield _event({**head, "choices": [], "usage": usage, "system_fingerprint": self._fingerprint()}), 0
        yield b"data: [DONE]\n\n", 0

    def text(
        self, body: Mapping[str, Any], prompt_ids: list[int], words: list[str], limit: int
    ) -> Iterator[tuple[bytes, int]]:
        """The events of a text completion, and how many tokens each of them took."""
        head = {"id": "cmpl-9b650ef01f2d241d", "object": "text_completion", "created": _CREATED, "model": self.model}
        vllm = self.dialect == "vllm"
        with_ids, choices = vllm and bool(body.get("return_token_ids")), range(body.get("n") or 1)
        # It comes before the first text, in the same event.
        echo = self.vocabulary.text(prompt_ids) if body.get("echo") else ""
        generated = 0
        for word, finish, ids in self.tokens(words, limit):
            for index in choices:
                choice = {"index": index, "text": echo + word, "logprobs": None, "finish_reason": finish}
                if vllm:
                    choice.update(stop_reason=None, prompt_token_ids=None, token_ids=ids if with_ids else None)
                    if with_ids and not generated:
                        choice["prompt_token_ids"] = prompt_ids
                yield _event({**head, "choices": [choice]}), len(ids)
            generated += len(ids) * len(choices)
            echo = ""
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {
                "prompt_tokens": len(prompt_ids),
                "total_tokens": len(prompt_ids) + generated,
                "completion_tokens": generated,
            }
            yield _event({**head, "choices": [], "usage": usage}), 0
        yield b"data: [DONE]\n\n", 0

    def tokens(self, words: list[str], limit: int) -> Iterator[tuple[str, str | None, list[int]]]:
        """Text, finish reason and token ids of each step; the last one carries text only if the limit cut it off."""
        for position, word in enumerate(words[:limit], start=1):
            yield word, "length" if position == limit else None, [self.vocabulary.id(word)]
        if len(words) < limit:
            yield "", "stop", [self.vocabulary.id(EOS)]

    def _fingerprint(self) -> str:
        return _FINGERPRINT if self.dialect == "vllm" else "fp_44709d6fcb" if self.dialect == "openai" else "b0-unknown"


def _delta(word: str, name: str) -> dict[str, Any]:
    if isinstance(word, CallBegin):
        call = {"id": word.call.id, "type": "function", "index": word.call.index, "function": {"name": word.call.name}}
        return {"content": None, "tool_calls": [call]}
    if isinstance(word, CallPiece):
        return {"content": None, "tool_calls": [{"index": word.position, "function": {"arguments": word}}]}
    return {name: word}


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
