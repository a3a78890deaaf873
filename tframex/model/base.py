"""What every model can do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex._types import Messages
from tframex.completion import Choice, Completion, Delta, Timings
from tframex.errors import ConfigurationError
from tframex.events import CallStarted, Event, RunFinished, pieces_of
from tframex.exchange import at_call
from tframex.model._acting_model import ActingModel
from tframex.model._call_record import note_call
from tframex.model._fit import answer_tokens, fitted
from tframex.model._identity import shaping
from tframex.model.counter import EndpointCounter
from tframex.tasks import AdaptiveLimit, Closing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseModel"]


class BaseModel(ActingModel, ABC):
    """A language model: messages in, text out.

    A subclass implements `call_stream`; everything else follows from it. Override `stream` as well if your model reports
    more than text: why it stopped, what it used. Override `count_tokens`, `window`, `continues` and `stream_after` for a
    model that counts, has a window, or can continue a partial answer.

    Args:
        model_id: A name for logs and errors.

    Attributes:
        model_id: The name.
        context_window: Tokens that prompt and answer may have together, or None if unknown.
        default_max_tokens: Tokens an answer may have unless a call says otherwise, or None for the endpoint's own limit.
        max_concurrency: The most calls that may be in flight concurrently, or None for no limit.
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

    @at_call
    async def events(self, messages: Messages, *, restart: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete: `CallStarted`, its pieces as they arrive, `RunFinished` at the end.

        Retries and continuations are events too, where the model reports them. `RunFinished.result` is the `Completion`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            **options: Whatever the model understands.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely.
        """
        yield CallStarted(model_id=self.model_id)
        async with Closing(self.stream(messages, **options)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    yield RunFinished(piece)
                    return
                for event in pieces_of(piece):
                    yield event
        raise TypeError(f"{type(self).__name__}.stream() must end with a Completion")

    @at_call
    async def stream(self, messages: Messages, **options: Any) -> AsyncIterator[Delta | Completion]:
        """The answer piece by piece, then the `Completion` as the last item."""
        started = time.perf_counter()
        first: float | None = None
        text: list[str] = []
        async with Closing(self.call_stream(messages, **options)) as pieces:
            async for piece in pieces:
                first = first or time.perf_counter() - started
                text.append(piece)
                yield Delta(piece)
        completion = Completion(
            choices=(Choice("".join(text)),),
            model_id=self.model_id,
            timings=Timings(first, time.perf_counter() - started),
        )
        note_call(completion)
        yield completion

    @at_call
    async def call(self, messages: Messages, **options: Any) -> Completion:
        """The complete answer."""
        async with Closing(self.stream(messages, **options)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    note_call(piece)
                    return piece
        raise TypeError(f"{type(self).__name__}.stream() must end with a Completion")

    @property
    def counter(self) -> EndpointCounter:
        """Counts tokens for this model."""
        if self._counter is None:
            self._counter = EndpointCounter(self)
        return self._counter

    @property
    def limit(self) -> AdaptiveLimit:
        """Limits the calls in flight: of all systems that use this model, and (for a `VLLMModel`) every other call.

        Systems make as many calls as the server turns out to take. Other calls only wait when `max_concurrency` are in
        flight, of either kind. A call made in a task that holds a place uses that place.
        """
        if self._limit is None:
            self._limit = AdaptiveLimit(self.max_concurrency)
        return self._limit

    # -- Counting, window and continuing. Systems use these: for a model that overrides them, no prompt exceeds the window,
    # -- and a run with a checkpoint resumes inside an answer.

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together; None if that is unknown."""
        return self.context_window

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long.

        Args:
            window: Tokens that prompt and answer may have together.
        """

    async def count_tokens(self, what: str | Messages) -> int | None:
        """Tokens of a text or a conversation, counted by the model's server; None if it does not count.

        Args:
            what: A text, or a conversation with what the chat template adds to it.

        Raises:
            ModelError: The endpoint could not be asked now.
        """
        return None

    async def fit(self, messages: Messages, options: dict[str, Any]) -> dict[str, Any]:
        """The options with which a request fits the window: an answer that would exceed it gets what is left of it.

        Args:
            messages: The conversation.
            options: The options of the call; they are not changed.

        Raises:
            ContextLengthError: The prompt alone does not fit; nothing was sent.
            ModelConnectionError: The endpoint could not be asked for its window.
        """
        return await fitted(self, messages, options)

    def answer_tokens(self, options: dict[str, Any]) -> int | None:
        """How many tokens the answer to a request with these options may have; None: the endpoint decides.

        Args:
            options: The options of the call.
        """
        return answer_tokens(self, options)

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        """What shapes the answers to requests with these options, apart from their messages.

        Checkpoints identify a call by it: the model, the options and, where an option is not given, the model's own
        setting; not the time limits, the retries or the headers. Override it for a model with further settings.

        Args:
            options: The options of the call; they are not changed.
        """
        return shaping({"model": self.model_id, "max_tokens": self.default_max_tokens, **options})

    async def continues(self, options: dict[str, Any]) -> bool:
        """Whether `stream_after` can continue a partial answer to a request with these options.

        Args:
            options: The options of the call.
        """
        return False

    def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncIterator[Delta | Completion]:
        """Like `stream`, for an answer whose beginning, `partial`, an earlier run has received; it is the first piece.

        Args:
            messages: The conversation.
            partial: The beginning of the answer.
            tokens: How many tokens (events of the stream) it took.
            **options: The options of the call.

        Raises:
            StreamInterruptedError: The model did not continue it.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot continue a partial answer")

    async def close_client(self) -> None:
        """Release what the model holds, such as connections. It can be used again afterwards."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close_client()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r})"
