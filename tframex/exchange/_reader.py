"""One response: bytes in, chunks of the answer out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from tframex.errors import ModelError
from tframex.exchange._arrival import Arrival
from tframex.exchange._body_start import BodyStart
from tframex.exchange._collector import Collector
from tframex.exchange._failures import started_over, unreadable
from tframex.exchange._ledger import Ledger
from tframex.exchange._observer import Observer
from tframex.exchange._odd_json import OddJSON
from tframex.exchange._served_model import ServedModel
from tframex.exchange._splice import Splice, StartedOverError
from tframex.exchange._sse import SSEDecoder
from tframex.exchange._statuses import error_from_body
from tframex.exchange._wire import Chunk, ChunkDelta, decode_chunk, decode_text, decode_texts, read_leniently

__all__ = ["ResponseReader"]

# How many events are decoded in full after one that is more than text, before text alone is expected again.
_OTHERS = 16
# How many events at the end of an answer are more than text: the one with its finish reason, the usage, `[DONE]`.
_LAST = 3


class ResponseReader:
    """Reads the body of one response.

    Args:
        collector: The answer so far; what arrives is added to it.
        ledger: Where the tokens it cost are noted.
        served: What is known of the endpoint; updated from what arrives.
        model_id: For error messages.
        choices: How many answers were asked for.
        observer: Notified of the first event.
    """

    decode = staticmethod(decode_chunk)
    convert = staticmethod(partial(msgspec.convert, type=Chunk))
    read_leniently = staticmethod(read_leniently)
    decode_text = staticmethod(decode_text)
    decode_texts = staticmethod(decode_texts)
    __slots__ = (
        "_choices",
        "_collector",
        "_decoder",
        "_head_read",
        "_ledger",
        "_model_id",
        "_odd",
        "_plain",
        "_served",
        "complete",
        "done",
        "events",
        "failure",
        "observer",
        "over",
        "splice",
        "start",
    )
    what = "Chat Completions"
    """The name of such a stream, for error messages."""

    def __init__(
        self,
        collector: Collector,
        ledger: Ledger,
        served: ServedModel,
        model_id: str,
        choices: int,
        observer: Observer,
    ) -> None:
        self._collector = collector
        self._ledger = ledger
        self.splice: Splice | None = None
        """Joins this response to what has arrived before; None: it begins the answer."""
        self.start = BodyStart()
        """How the body begins."""
        self.events = 0
        """How many chunks were decoded in full. The first one always is, so 0 means that none has arrived."""
        self.done = False
        """The server has sent `[DONE]`."""
        self.over = False
        """Nothing more is to be read."""
        self.complete = False
        """Every answer has its finish reason."""
        self.failure: ModelError | None = None
        self._head_read = False
        self._decoder = SSEDecoder()
        self._odd: OddJSON | None = None
        self._plain = 0
        """Above 0, an event is expected to be nothing but text; -N, not for the next N + 1 events."""
        self._served = served
        self._model_id = model_id
        self._choices = choices
        self.observer = observer

    @property
    def begun(self) -> bool:
        """Whether some of the answer has arrived, in this response or before."""
        return self._collector.tokens.count > 0

    def opened(self, headers: Mapping[str, str]) -> None:
        """Note the headers of a successful response."""
        self._served.learn_from_headers(headers)
        self.start.opened(headers)

    def feed(self, data: bytes) -> Arrival:
        """Take bytes of the body and return the chunks that are new to the reader.

        A failure is not raised but kept in `failure`, since the chunks before it must reach the reader first.
        """
        # The hot path of every stream: half a microsecond for each of many events, two for one that comes alone.
        if not self._head_read:
            data = self.start.take(data)
            self._head_read = self.start.decided
        batch: Arrival | None = None
        try:
            items = self._decoder.feed(data)
            if self._plain > 0 and items:
                texts: list[Any] | None = self._text_of(items[0]) if len(items) == 1 else self._texts_of(items)
                if texts is not None:
                    return Arrival(texts, texts, items, self.splice is not None, texts)
            batch = Arrival(joined=self.splice is not None)
            self._take_any(items, batch)
        except ModelError as error:
            self.failure = error
        except StartedOverError as exc:
            self.failure = started_over(model_id=self._model_id)
            self.failure.__cause__ = exc
        except Exception as exc:
            # Any class: a server can send what makes a decoder raise RecursionError or OverflowError. What was read
            # before it is handed out; an exception from here would lose it, though it is noted as received.
            partial, begun = self._collector.text, self.begun
            self.failure = unreadable(
                self.start.head, model_id=self._model_id, partial=partial, why=str(exc), what=self.what, begun=begun
            )
            self.failure.__cause__ = exc
        return batch or Arrival()

    def _text_of(self, item: bytes) -> list[str] | None:
        """As `_texts_of`, for a single event: as many come alone as together."""
        try:
            choice = self.decode_text(item).choices[0]
        except (msgspec.MsgspecError, ValueError):
            return None
        text = choice.delta.content
        return [text] if text and self._collector.note_text(text, choice.token_ids) else None

    def _texts_of(self, items: list[bytes]) -> list[str] | None:
        """Take in events that are nothing but text, all together; None if one of them is something else."""
        try:
            chunks = self.decode_texts(b"\n".join(items))
        except msgspec.MsgspecError:
            return None
        if len(chunks) != len(items):
            return None
        texts: list[str] = []
        ids: list[list[int] | None] = []
        for chunk in chunks:
            (choice,) = chunk.choices
            if not (text := choice.delta.content):
                return None
            texts.append(text)
            ids.append(choice.token_ids)
        return texts if self._collector.note_texts(texts, ids) else None

    def _take_any(self, items: list[bytes], batch: Arrival) -> None:
        """Take in events one by one, until the last of the answer; text between its first and last ones together."""
        tried, at = False, 0
        while at < len(items):
            if self._plain > 0:
                some = [items[at]] if tried else items[at : max(at + 1, len(items) - _LAST)]
                if (texts := self._texts_of(some)) is not None:
                    batch.pieces += texts
                    batch.chunks += texts
                    batch.data += some
                    at += len(some)
                    continue
                if not tried and len(some) > 1:
                    tried = True
                    continue
                # Not a chunk of text. Where there is one, there may be many (of reasoning, say).
                self._plain = -_OTHERS
            if not self._take(items[at], batch):
                break
            at += 1

    def _take(self, item: bytes, batch: Arrival) -> bool:
        """Take in one event of any kind; False if it was the last."""
        if item.startswith(b"[DONE]"):
            self.done = self.over = True
            return False
        try:
            chunk = self.decode(item)
        except msgspec.DecodeError as exc:
            self._odd = odd = self._odd or OddJSON(self.convert, self.read_leniently)
            chunk = odd.read(item, exc)
            self._collector.unspliceable = self._collector.unspliceable or odd.unspliceable
        if chunk.error:  # some gateways send an empty one with every event
            if self.complete:
                return False
            raise error_from_body(chunk.error, model_id=self._model_id)
        if not self.events:
            self._opening(chunk)
        self.events += 1
        if self.splice is None:
            self._plain += 1
        elif not self._join(chunk, self.splice):
            # Nothing for the reader, but noted: half of a character has no text and is still a token.
            self._collector.note(chunk, [])
            return True
        batch.chunks.append(chunk)
        batch.data.append(item)
        if chunk.usage is not None:
            self._ledger.report(chunk.usage)
            if self.splice is not None:
                chunk.usage = self._ledger.total(self._collector.tokens)[0]
        if self._collector.note(chunk, batch.pieces):
            self.complete = self._collector.finished >= self._choices
        return True

    def _opening(self, chunk: Chunk) -> None:
        self.observer.first_event()
        self._served.learn_from_chunk(chunk)
        if isinstance(chunk.prompt_token_ids, list) and self._collector.tokens.prompt is None:
            self._collector.tokens.prompt = chunk.prompt_token_ids

    def _join(self, chunk: Chunk, splice: Splice) -> bool:
        """Turn a chunk of a continuation into one of the answer; False if it has nothing new."""
        news = chunk.usage is not None
        for choice in chunk.choices or ():
            delta = choice.delta = choice.delta or ChunkDelta()
            if choice.text is not None:
                delta.content = choice.text
            thought = delta.reasoning or delta.reasoning_content
            delta.reasoning_content = None
            if self._collector.phase == "content" and thought:
                # With a reasoning parser the continuation of the content arrives as reasoning.
                delta.content, delta.reasoning = f"{thought}{delta.content or ''}", None
            elif thought:
                delta.reasoning = splice.feed(thought)
            if delta.content:
                delta.content = splice.feed(delta.content)
            if choice.finish_reason and (held := splice.finish()):
                delta.content = held + (delta.content or "")
            news = news or bool(delta.content or delta.reasoning or delta.tool_calls or choice.finish_reason)
        return news
