"""Official `Completion` objects, the chunks of `/v1/completions`, made fast."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from openai.types import Completion

from tframex.client._chunks import write_total
from tframex.client._completion_template import CompletionTemplate
from tframex.exchange import Arrival, Chunk

__all__ = ["CompletionMaker"]


class CompletionMaker:
    """Makes the chunks of one stream.

    Args:
        client: The official client.
        response: The response the chunks belong to.
        merges: The text of a batch is one chunk.
    """

    def __init__(self, client: Any, response: Any, *, merges: bool = False) -> None:
        self._client = client
        self._response = response
        self._merges = merges
        self._first: dict[str, Any] = {}
        self._template: CompletionTemplate | None = None

    def make(self, batch: Arrival) -> Iterator[Completion]:
        """The chunks of a batch, each as it is asked for."""
        if batch.joined:
            return self._each(map(self._rewritten, batch.chunks, batch.data))
        if batch.data and not self._first:
            first = json.loads(batch.data[0])
            self._first = {name: first.get(name) for name in ("id", "object", "created", "model")}
        return self._each(batch.data)

    def _each(self, events: Iterable[bytes]) -> Iterator[Completion]:
        return self._merged(events) if self._merges else map(self._made, events)

    def _merged(self, events: Iterable[bytes]) -> Iterator[Completion]:
        """The chunks, neighbours that differ in nothing but their text as one."""
        texts: list[str] = []
        numbers: list[int] = []
        for data in events:
            template = self._template
            read = None if template is None else template.read(data)
            if read is not None:
                texts.append(read[0])
                numbers += read[1] or ()
                continue
            yield from self._joined(texts, numbers)
            texts, numbers = [], []
            yield self._made(data)
        yield from self._joined(texts, numbers)

    def _joined(self, texts: list[str], numbers: list[int]) -> Iterator[Completion]:
        if texts and self._template is not None:
            yield self._template.saying("".join(texts), numbers or None)

    def _made(self, data: bytes) -> Completion:
        if self._template is not None and (copy := self._template.fill(data)) is not None:
            return copy
        made: Completion = self._client._process_response_data(
            data=json.loads(data), cast_to=Completion, response=self._response
        )
        # Some servers put the second into each chunk.
        self._template = CompletionTemplate.of(made, data) or self._template
        return made

    def _rewritten(self, joined: Chunk | str, data: bytes) -> bytes:
        """The JSON of a chunk that was joined to the answer: it belongs to the first response, whatever returned it."""
        assert not isinstance(joined, str)
        body: dict[str, Any] = {**json.loads(data), **self._first}
        choices = body["choices"] = body.get("choices") or [{"index": c.index} for c in joined.choices or ()]
        for choice, known in zip(choices, joined.choices or (), strict=False):
            choice["text"] = (known.delta and known.delta.content) or ""
            choice["finish_reason"] = known.finish_reason
            # An answer that is continued has one prompt, that of the first request.
            if "prompt_token_ids" in choice:
                choice["prompt_token_ids"] = None
        write_total(body, joined)
        return json.dumps(body, separators=(",", ":")).encode()
