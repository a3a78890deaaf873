"""One response of `/v1/completions`: its chunks carry `text` where those of the chat endpoint have a delta."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tframex.exchange._reader import ResponseReader
from tframex.exchange._request import ChatRequest
from tframex.exchange._text_request import TextRequest
from tframex.exchange._wire import Chunk, ChunkChoice, ChunkDelta, read_leniently

__all__ = ["TextReader", "reader_for"]


class _TextChoice(msgspec.Struct, gc=False, rename={"content": "text"}):
    """A choice that is nothing but text, read like one of the chat endpoint."""

    content: str
    index: Literal[0] = 0
    finish_reason: None = None
    logprobs: None = None
    prompt_token_ids: None = None
    token_ids: list[int] | None = None

    @property
    def delta(self) -> _TextChoice:
        """Where the text is."""
        return self


class _TextChunk(msgspec.Struct, gc=False):
    choices: tuple[_TextChoice]
    usage: None = None
    error: None = None


class _Choice(ChunkChoice, gc=False):
    """A choice of any kind; vLLM has the ids of the prompt here, in the chat endpoint beside the choices."""

    prompt_token_ids: list[int] | msgspec.UnsetType | None = msgspec.UNSET


class _Chunk(Chunk, gc=False):
    choices: list[_Choice] | None = None  # type: ignore[assignment] # it is decoded, not written to


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def _decode(data: Any) -> Chunk:
    return _with_deltas(_decode_chunk(data))


def _convert(body: Any) -> Chunk:
    return _with_deltas(msgspec.convert(body, _Chunk))


def _with_deltas(chunk: _Chunk) -> Chunk:
    for choice in chunk.choices or ():
        choice.delta = ChunkDelta(choice.text)
        if choice.prompt_token_ids is not msgspec.UNSET:
            chunk.prompt_token_ids = choice.prompt_token_ids
    return chunk


def _read_leniently(body: Any) -> Chunk:
    chunk = read_leniently(body)
    written = [choice for choice in body.get("choices") or () if isinstance(choice, dict)]
    for choice, fields in zip(chunk.choices or (), written, strict=True):
        text = fields.get("text")
        choice.delta = ChunkDelta(None if text is None else str(text))
    return chunk


class TextReader(ResponseReader):
    """Reads the body of one response of `/v1/completions`."""

    __slots__ = ()

    decode = staticmethod(_decode)
    convert = staticmethod(_convert)
    read_leniently = staticmethod(_read_leniently)
    what = "text completion"
    decode_text = staticmethod(msgspec.json.Decoder(_TextChunk).decode)  # type: ignore[assignment] # of another API
    decode_texts = staticmethod(msgspec.json.Decoder(_TextChunk).decode_lines)  # type: ignore[assignment] # of another API


def reader_for(request: ChatRequest) -> type[ResponseReader]:
    """The class that reads the responses to a request."""
    return TextReader if isinstance(request, TextRequest) else ResponseReader
