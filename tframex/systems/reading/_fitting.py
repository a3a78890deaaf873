"""How much of a text goes into the next request."""

from __future__ import annotations

from collections.abc import Callable

from tframex._types import Messages
from tframex.chunking import Chunk, Chunker
from tframex.errors import ChunkingError
from tframex.model import BaseModel
from tframex.tokens import TokenCounter

__all__ = ["Fitting", "fits_directly"]

# Where neither the window nor a chunk size is known: a size that every current model takes.
_CAREFUL = 2000
# A request that uses this share of the room is full: the rest is not worth another question to the endpoint.
_FULL = 0.94
_TRIES = 8


class Fitting:
    """Finds the largest next part of a text whose request fits into the window.

    Args:
        model: Who is asked; its counter measures.
        counter: What the chunker counts with.
        chunk_size: The most tokens of a part by that counter, or None for as many as fit.
    """

    def __init__(self, model: BaseModel, counter: TokenCounter, chunk_size: int | None) -> None:
        self._model = model
        self._counter = counter
        self._size = chunk_size

    async def next(
        self,
        chunker: Chunker,
        start: int,
        after: int,
        answer: int,
        build: Callable[[str], Messages],
        window: int | None,
    ) -> tuple[Chunk, int]:
        """The part that begins at `start` and reaches beyond `after`, and the tokens of its request.

        Args:
            chunker: Cuts the text.
            start: Where the part begins.
            after: It must reach further than this.
            answer: Tokens that the answer may have.
            build: Makes the messages for a part.
            window: Tokens that prompt and answer may have together, or None if unknown.

        Raises:
            ChunkingError: The rest of the request leaves no room for any text.
        """
        meter = self._model.counter
        if window is None:
            chunk = self._cut(chunker, start, after, self._size or _CAREFUL)
            return chunk, meter.count_messages(build(chunk.text))
        limit = window - answer
        fixed = meter.count_messages(build(""))
        if fixed >= limit:
            fixed = await meter.measure(build(""))
            if fixed >= limit:
                raise _no_room(fixed, answer, window)
        ratio = max(meter.ratio, 1e-3)
        size = self._capped(int((limit - fixed) / ratio * 0.99))
        best: tuple[Chunk, int] | None = None
        goal = fixed + (limit - fixed) * 0.985
        fits, breaks = (0, fixed), (0, 0)
        # The largest size that fitted, the smallest that did not (0: none so far), and the tokens of their requests.
        for _ in range(_TRIES):
            chunk = self._cut(chunker, start, after, size)
            tokens = await self._measure(build(chunk.text), limit)
            if tokens <= limit:
                fits = (size, tokens)
                best = (chunk, tokens) if best is None or chunk.end > best[0].end else best
                if chunk.end == len(chunker.text) or tokens >= _FULL * limit:
                    break
            else:
                breaks = (size, tokens)
            # Texts are uneven: the aim lies on the line between what fits and what does not, or through the last one.
            (low, below), (high, above) = fits, breaks
            if low and high:
                aim = low + int((high - low) * (goal - below) / max(1, above - below))
            else:
                aim = int(chunk.tokens * (goal - fixed) / max(1, tokens - fixed))
            if not low < aim < (high or aim + 1):
                aim = (low + high) // 2 if high else low + low // 8 + 1
            size = self._capped(aim)
            if size <= low or size == high:
                break
        if best is None and not meter.knows:
            # The caution before the first answer leaves no room: an estimate must do.
            chunk = self._cut(chunker, start, after, self._capped(int((limit - fixed) / 2)))
            best = chunk, meter.count_messages(build(chunk.text))
        if best is None:
            raise _no_room(fixed, answer, window)
        return best

    async def _measure(self, messages: Messages, limit: int) -> int:
        """Tokens of a request: exactly, where the endpoint counts and the size is not given, otherwise what they may be."""
        meter = self._model.counter
        bound = meter.bound(messages)
        # With a size that the user chose there is nothing to gain from knowing how much more would fit.
        return bound if self._size is not None and bound <= limit else await meter.measure(messages)

    def _capped(self, size: int) -> int:
        return max(1, size if self._size is None else min(size, self._size))

    def _cut(self, chunker: Chunker, start: int, after: int, size: int) -> Chunk:
        # Where the window decides, a chunk that ends a little earlier with a paragraph is not worth the room it leaves.
        chunk = chunker.next(start, size, after=after, full=self._size is None)
        if chunk is None:
            chunk = chunker.next(after, size, full=self._size is None)
        assert chunk is not None
        return chunk


def _no_room(fixed: int, answer: int, window: int) -> ChunkingError:
    return ChunkingError(
        f"the task and the notes ({fixed} tokens) and the answer ({answer}) leave no room for the text in a window of "
        f"{window} tokens; lower max_tokens or max_notes, or shorten the task"
    )


async def fits_directly(
    model: BaseModel,
    messages: Messages,
    text: str,
    counter: TokenCounter,
    chunk_size: int | None,
    limit: int | None,
) -> int | None:
    """Tokens of the request that has all of a text in it, or None if the text is too long for that.

    Args:
        model: Who is asked.
        messages: The request.
        text: The text.
        counter: What chunks are counted with.
        chunk_size: The most tokens of a chunk, or None.
        limit: Tokens that the request may have, or None if unknown.
    """
    if limit is None or chunk_size is not None:
        most = chunk_size or _CAREFUL
        # Counting a long text only to hear that it is long is not needed.
        if len(text) > 16 * most or counter.count(text) > most:
            return None
        if limit is None:
            return counter.count(text)
    if len(text) > 16 * limit or model.counter.count_messages(messages) > 1.2 * limit:
        return None
    tokens = await model.counter.measure(messages)
    return tokens if tokens <= limit else None
