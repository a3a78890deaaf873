"""The bytes of a response that a real server streams.

Those of text were captured from vLLM 0.32.0 (`/v1/responses`, also with VLLM_ENABLE_RESPONSES_API_STORE=1), those of
reasoning follow its source (`streaming_events.py`). As OpenAI they end with `response.incomplete` where the limit cut them
off, and deltas carry `obfuscation`, as the types of the official client describe it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ResponseWriter", "Steps"]

_CREATED = 1795615500
Steps = Iterator[tuple[str, "str | None", list[int]]]
"""Text, finish reason and token ids of each step of a generation."""


@dataclass
class ResponseWriter:
    """Writes one response.

    Args:
        body: The request's JSON.
        response_id: What the response is called.
        model: The name the model is served under.
        dialect: Whose bytes to write.
        prompt_tokens: How long the prompt is.
    """

    body: Mapping[str, Any]
    response_id: str
    model: str
    dialect: str
    prompt_tokens: int
    _number: int = 0
    _output: list[dict[str, Any]] = field(default_factory=list)

    def events(self, steps: Steps, thinking: bool, marks: tuple[str, str]) -> Iterator[tuple[bytes, int]]:
        """The events of the response, and how many tokens each of them took.

        Args:
            steps: What is generated.
            thinking: It begins with a thought.
            marks: The tokens that begin and end a thought; a parser swallows them.
        """
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._response("in_progress")), 0
        text, open_, tokens, finish = "", False, 0, None
        for word, reason, ids in steps:
            tokens += len(ids)
            finish = reason or finish
            if word in marks:
                yield b"", len(ids)
                if open_:
                    yield from self._closed(thinking, text)
                text, open_, thinking = "", False, word == marks[0]
                continue
            if not word:
                yield b"", len(ids)
                continue
            if not open_:
                open_ = True
                yield from self._opened(thinking)
            text += word
            yield self._delta(thinking, word), len(ids)
        if open_:
            yield from self._closed(thinking, text)
        complete = finish != "length"
        usage = {
            "input_tokens": self.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.prompt_tokens + tokens,
        }
        # vLLM calls also a response completed that its limit cut off, and says so inside.
        kind = "response.completed" if complete or self.dialect == "vllm" else "response.incomplete"
        yield self._event(kind, response=self._response("completed" if complete else "incomplete", usage)), 0

    def _opened(self, thought: bool) -> Iterator[tuple[bytes, int]]:
        item: dict[str, Any]
        name = self._item_id(thought)
        if thought:
            item = {"id": name, "summary": [], "type": "reasoning", "content": None, "encrypted_content": None}
            part: dict[str, Any] = {"text": "", "type": "reasoning_text"}
        else:
            item = {"id": name, "content": [], "role": "assistant", "status": "in_progress", "type": "message"}
            part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        item["status"] = "in_progress"
        where = len(self._output)
        yield self._event("response.output_item.added", item=item, output_index=where), 0
        yield (
            self._event("response.content_part.added", content_index=0, item_id=name, output_index=where, part=part),
            0,
        )

    def _delta(self, thought: bool, word: str) -> bytes:
        fields = {"content_index": 0, "delta": word, "item_id": self._item_id(thought)}
        kind = "response.reasoning_text.delta"
        if not thought:
            fields["logprobs"] = []
            kind = "response.output_text.delta"
        padding = {"obfuscation": "x" * (16 - len(word) % 16)} if self.dialect == "openai" else {}
        return self._event(kind, **fields, output_index=len(self._output), **padding)

    def _closed(self, thought: bool, text: str) -> Iterator[tuple[bytes, int]]:
        name, where = self._item_id(thought), len(self._output)
        at = {"content_index": 0, "item_id": name, "output_index": where}
        if thought:
            part: dict[str, Any] = {"text": text, "type": "reasoning_text"}
            item = {"id": name, "summary": [], "type": "reasoning", "content": [part], "encrypted_content": None}
            yield self._event("response.reasoning_text.done", **at, text=text), 0
        else:
            part = {"annotations": [], "text": text, "type": "output_text", "logprobs": None}
            item = {"id": name, "content": [part], "role": "assistant", "type": "message"}
            yield self._event("response.output_text.done", **at, logprobs=[], text=text), 0
        item["status"] = "completed"
        yield self._event("response.content_part.done", **at, part=part), 0
        yield self._event("response.output_item.done", item=item, output_index=where), 0
        self._output.append(item)

    def _item_id(self, thought: bool) -> str:
        return f"{'rs' if thought else 'msg'}_9cd754b28cd9443{len(self._output)}"

    def _response(self, status: str, usage: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return {
            "id": self.response_id,
            "created_at": _CREATED,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": self.body.get("instructions"),
            "metadata": None,
            "model": self.model,
            "object": "response",
            "output": list(self._output),
            "parallel_tool_calls": True,
            "temperature": self.body.get("temperature", 1.0),
            "tool_choice": "none",
            "tools": [],
            "top_p": 1.0,
            "background": bool(self.body.get("background")),
            "max_output_tokens": self.body.get("max_output_tokens"),
            "previous_response_id": None,
            "service_tier": "auto",
            "status": status,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
        }

    def _event(self, kind: str, **fields: Any) -> bytes:
        padding = {name: fields.pop(name) for name in ("obfuscation",) if name in fields}
        data = {**fields, "sequence_number": self._number, "type": kind, **padding}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (
            kind.encode(),
            json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(),
        )
