"""Official `ChatCompletionChunk` objects, made fast."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pydantic
from openai.types.chat import ChatCompletionChunk

from tframex.client._merged import merged
from tframex.client._template import TextTemplate
from tframex.exchange import Arrival, Chunk, ChunkDelta

__all__ = ["ChunkMaker", "write_total"]


# The official client defers building validators until they are first used.
ChatCompletionChunk.model_rebuild()
_decode: Callable[[bytes], ChatCompletionChunk] = ChatCompletionChunk.__pydantic_validator__.validate_json


class ChunkMaker:
    """Makes the chunks of one stream.

    Validation of the JSON costs about 8 us where the official construction costs about 200. A chunk that does not validate
    (because of an unknown `finish_reason`, for example) is constructed as the official client would: unchecked.

    Args:
        client: The official client.
        response: The response the chunks belong to.
        merges: The text of a batch is one chunk.
    """

    __slots__ = ("_client", "_first", "_merges", "_response", "_template", "_tries")

    def __init__(self, client: Any, response: Any, *, merges: bool = False) -> None:
        self._client = client
        self._response = response
        self._merges = merges
        self._first: dict[str, Any] = {}
        self._template: TextTemplate | None = None
        self._tries = 3

    def make(self, batch: Arrival) -> Iterator[ChatCompletionChunk]:
        """The chunks of a batch, each made when it is asked for."""
        if not batch.data:
            return iter(())
        if batch.joined:
            return self._each(map(self._rewritten, batch.chunks, batch.data))
        if not self._first:
            first = json.loads(batch.data[0])
            self._first = {name: first.get(name) for name in ("id", "object", "created", "model")}
        if batch.texts is None:
            return self._each(batch.data)
        if self._template is None and self._tries:
            self._tries -= 1
            text, data = batch.texts[-1], batch.data[-1]
            self._template = TextTemplate.of(self._decode(data), data, text)
        if self._merges:
            if self._template is not None and all(map(self._template.fits, batch.texts, batch.data)):
                return iter((self._template.saying("".join(batch.texts)),))
            return self._each(batch.data)
        return map(self._like_the_others, batch.texts, batch.data)

    def _each(self, events: Iterable[bytes]) -> Iterator[ChatCompletionChunk]:
        return map(self._decode, merged(events) if self._merges else events)

    def _like_the_others(self, text: str, data: bytes) -> ChatCompletionChunk:
        return (self._template and self._template.fill(text, data)) or self._decode(data)

    def _decode(self, data: bytes) -> ChatCompletionChunk:
        try:
            return _decode(data)
        except pydantic.ValidationError:
            made: ChatCompletionChunk = self._client._process_response_data(
                data=json.loads(data), cast_to=ChatCompletionChunk, response=self._response
            )
            return made

    def _rewritten(self, joined: Chunk | str, data: bytes) -> bytes:
        """The JSON of a chunk that was joined to the answer, with the names of the first response, which it continues."""
        assert not isinstance(joined, str)
        body: dict[str, Any] = {**json.loads(data), **self._first}
        choices = body["choices"] = body.get("choices") or [{"index": c.index} for c in joined.choices or ()]
        for choice, known in zip(choices, joined.choices or (), strict=False):
            choice.pop("text", None)
            delta = choice["delta"] = dict(choice.get("delta") or {})
            delta.pop("role", None)
            choice["finish_reason"] = known.finish_reason
            for name, text in _texts(delta, known.delta).items():
                if text is None:
                    delta.pop(name, None)
                else:
                    delta[name] = text
        write_total(body, joined)
        return json.dumps(body).encode()


def write_total(body: dict[str, Any], joined: Chunk) -> None:
    """Replace the usage in the JSON of a joined chunk, where there is one, by that of all requests together."""
    if (total := joined.usage) is not None:
        body["usage"].update(
            prompt_tokens=total.prompt_tokens,
            completion_tokens=total.completion_tokens,
            total_tokens=total.prompt_tokens + total.completion_tokens,
        )


def _texts(delta: dict[str, Any], joined: ChunkDelta | None) -> dict[str, str | None]:
    """The texts of a joined chunk, reasoning under the name that this server uses for it."""
    content, thought = (joined.content, joined.reasoning) if joined is not None else (None, None)
    names = ("reasoning", "reasoning_content")
    used = [name for name in names if delta.get(name)] or names[:1]
    return {"content": content, **{name: thought if name in used else None for name in names}}
