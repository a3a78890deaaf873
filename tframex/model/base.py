"""What every model can do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex._types import Messages
from tframex.completion import Choice, Completion, Delta, Timings
from tframex.errors import ConfigurationError
from tframex.model.counter import EndpointCounter
from tframex.tasks import AdaptiveLimit, Closing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseModel"]


class BaseModel(ABC):
    """A language model: messages in, text out.

    A subclass implements `call_stream`; everything else follows from it. Override `stream` as well if your model knows
    more than text: why it stopped, what it used.

    Args:
        model_id: A name for logs and errors.

    Attributes:
        model_id: The name.
        context_window: Tokens that prompt and answer may have together, or None if unknown.
        default_max_tokens: Tokens an answer may have unless a call says otherwise, or None for the endpoint's own limit.
        max_concurrency: Calls in flight at once, or None for no limit.
    """

    context_window: int | None = None
    default_max_tokens: int | None = None
    max_concurrency: int | None = None
    _counter: EndpointCounter | None = None
    _limit: AdaptiveLimit | None = None

    def __init__(self, model_id: str) -> None:
        if not isinstance(model_id, str) or not model_id.strip():
            raise ConfigurationError(f"model_id must be a non-empty string, not {model_id!r}")
        self.model_id = model_id

    @abstractmethod
    def call_stream(self, messages: Messages, **options: Any) -> AsyncIterator[str]:
        """The text of the answer, piece by piece; an async generator.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Whatever the model understands.
        """

    async def stream(self, messages: Messages, **options: Any) -> AsyncIterator[Delta | Completion]:
        """The answer piece by piece, then the whole `Completion` as the last item."""
        started = time.perf_counter()
        first: float | None = None
        text: list[str] = []
        async with Closing(self.call_stream(messages, **options)) as pieces:
            async for piece in pieces:
                first = first or time.perf_counter() - started
                text.append(piece)
                yield Delta(piece)
        yield Completion(
            choices=(Choice("".join(text)),),
            model_id=self.model_id,
            timings=Timings(first, time.perf_counter() - started),
        )

    async def call(self, messages: Messages, **options: Any) -> Completion:
        """The whole answer."""
        async with Closing(self.stream(messages, **options)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    return event
        raise TypeError(f"{type(self).__name__}.stream() must end with a Completion")

    @property
    def counter(self) -> EndpointCounter:
        """Counts tokens for this model."""
        if self._counter is None:
            self._counter = EndpointCounter(self)
        return self._counter

    @property
    def _shared_limit(self) -> AdaptiveLimit:
        """How many calls all systems together have in flight on this model, as found out while they run."""
        if self._limit is None:
            self._limit = AdaptiveLimit(self.max_concurrency)
        return self._limit

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together, as far as it can be found out; None if it cannot."""
        return self.context_window

    def _note_window(self, window: int) -> None:  # noqa: B027 - most models know theirs
        """Learn the window from the refusal of a prompt that was too long."""

    async def _count_tokens(self, what: str | Messages) -> int | None:
        """Tokens of a text or a conversation, counted by whoever serves the model; None if nobody does."""
        return None

    async def _continues(self, options: dict[str, Any]) -> bool:
        """Whether `_stream_after` can go on after a partial answer to a request with these options."""
        return False

    def _stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncIterator[Delta | Completion]:
        """As `stream`, for an answer of which an earlier run has brought `partial`, which took `tokens` events."""
        raise NotImplementedError(f"{type(self).__name__} cannot go on after a partial answer")

    async def close_client(self) -> None:  # noqa: B027 - most models hold nothing
        """Release what the model holds, such as connections. It can be used again afterwards."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close_client()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r})"
