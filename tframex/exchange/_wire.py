"""The fields of a chat completion chunk that TFrameX needs; all others are skipped unread.

One decode costs about 1 us. Building the official client's pydantic object of the same bytes costs about 200.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

__all__ = [
    "Chunk",
    "ChunkChoice",
    "ChunkDelta",
    "ChunkUsage",
    "decode_chunk",
    "decode_text",
    "decode_texts",
    "read_leniently",
]


class FunctionDelta(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, gc=False):
    index: int = 0
    id: str | None = None
    function: FunctionDelta | None = None


class ChunkDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class LogProbs(msgspec.Struct, gc=False):
    content: list[dict[str, Any]] | None = None


class ChunkChoice(msgspec.Struct, gc=False):
    index: int = 0
    delta: ChunkDelta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: LogProbs | None = None
    token_ids: list[int] | None = None


class PromptTokensDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class CompletionTokensDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class ChunkUsage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event of a stream, of `/v1/chat/completions` or (with `text`) of `/v1/completions`."""

    id: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: ChunkUsage | None = None
    error: Any = None
    prompt_token_ids: list[int] | msgspec.UnsetType | None = msgspec.UNSET
    system_fingerprint: str | None = None


class TextDelta(msgspec.Struct, gc=False):
    content: str
    reasoning: None = None
    reasoning_content: None = None
    refusal: None = None
    tool_calls: None = None


class TextChoice(msgspec.Struct, gc=False):
    delta: TextDelta
    index: Literal[0] = 0
    text: None = None
    finish_reason: None = None
    logprobs: None = None
    token_ids: list[int] | None = None


class TextChunk(msgspec.Struct, gc=False):
    """A chunk that is nothing but text of the only choice, as nearly all are.

    Decoding checks that: a chunk with anything else does not fit these types.
    """

    choices: tuple[TextChoice]
    usage: None = None
    error: None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_text = msgspec.json.Decoder(TextChunk).decode
decode_texts = msgspec.json.Decoder(TextChunk).decode_lines


def read_leniently(body: Any) -> Chunk:
    """What can be understood of the JSON of a chunk whose fields have unexpected types.

    Some servers send the content as a list of parts, null for an index, or floats for counts.
    """
    if not isinstance(body, dict):
        raise msgspec.ValidationError(f"an event is {type(body).__name__}, not an object")
    chunk = Chunk(error=body.get("error"))
    if isinstance(usage := body.get("usage"), dict):
        chunk.usage = ChunkUsage(_number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens")))
    choices = body.get("choices")
    if not isinstance(choices, (list, type(None))):
        raise msgspec.ValidationError(f"its choices are {type(choices).__name__}, not a list")
    chunk.choices = [_choice(choice) for choice in choices or () if isinstance(choice, dict)]
    return chunk


def _choice(body: dict[str, Any]) -> ChunkChoice:
    delta = body.get("delta")
    fields = delta if isinstance(delta, dict) else {}
    written = fields.get("tool_calls")
    calls = [_tool_call(call) for call in (written if isinstance(written, list) else ()) if isinstance(call, dict)]
    reason = body.get("finish_reason")
    return ChunkChoice(
        index=_number(body.get("index")),
        finish_reason=None if reason is None else str(reason),
        delta=ChunkDelta(
            content=_text(fields.get("content")),
            reasoning=_text(fields.get("reasoning")) or _text(fields.get("reasoning_content")),
            tool_calls=calls or None,
        ),
    )


def _tool_call(body: dict[str, Any]) -> ToolCallDelta:
    function = body.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    written = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments)
    return ToolCallDelta(
        _number(body.get("index")), _text(body.get("id")), FunctionDelta(_text(function.get("name")), written)
    )


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return "".join(_text(part.get("text")) or "" for part in value if isinstance(part, dict))
    return None if value is None else str(value)


def _number(value: Any) -> int:
    try:
        return int(value) if isinstance(value, (int, float)) else 0
    except (ValueError, OverflowError):  # not a number, or infinity
        return 0
