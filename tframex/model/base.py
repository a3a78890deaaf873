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
from tframex.model._abilities import Abilities
from tframex.model._acting_model import ActingModel
from tframex.model._call_record import note_call
from tframex.model._typed_call import TypedCall
from tframex.tasks import Closing

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseModel"]


class BaseModel(Abilities, ActingModel, ABC):
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
    async def events(
        self,
        messages: Messages,
        *,
        restart: bool = False,
        output_type: Any = None,
        max_output_retries: int = 2,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete: `CallStarted`, its pieces as they arrive, `RunFinished` at the end.

        Retries and continuations are events too, where the model reports them. `RunFinished.result` is the `Completion`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            output_type: The type that the answer is to have; the value is then `Completion.output`. An answer that is not
                of the type is void and asked for again, which `CallRetried` reports. Without `restart`, there is an
                `OutputPiece` whenever the value has grown.
            max_output_retries: How often it is asked for again.
            **options: Whatever the model understands.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The answer could not be received, or not completely.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, max_output_retries, options, shown=not restart)
            async with Closing(typed.events()) as events:
                async for event in events:
                    yield event
            return
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
    async def stream(
        self, messages: Messages, *, output_type: Any = None, **options: Any
    ) -> AsyncIterator[Delta | Completion]:
        """The answer piece by piece, then the `Completion` as the last item.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            output_type: The type that the answer is to have; the value is then `Completion.output`. The pieces cannot be
                taken back: an answer that is not of the type is not asked for again.
            **options: Whatever the model understands.

        Raises:
            OutputValidationError: The answer is not of the type, or was cut off at a limit.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, 0, options, shown=True, restart=False)
            async with Closing(typed.pieces()) as typed_pieces:
                async for found in typed_pieces:
                    yield found
            return
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
    async def call(
        self, messages: Messages, *, output_type: Any = None, max_output_retries: int = 2, **options: Any
    ) -> Completion:
        """The complete answer.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, an `Output`, ...;
                the value is then `Completion.output`. The request is fitted into the context window.
            max_output_retries: How often an answer that is not of the type is asked for again, with what is wrong with it.
            **options: Whatever the model understands.

        Raises:
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, max_output_retries, options, shown=False)
            return await typed.completion()
        async with Closing(self.stream(messages, **options)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    note_call(piece)
                    return piece
        raise TypeError(f"{type(self).__name__}.stream() must end with a Completion")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close_client()

    async def _batches(
        self, messages: Messages, options: dict[str, Any], *, restart: bool, shown: bool, validated: bool = True
    ) -> AsyncGenerator[list[Event], None]:
        """What happens in a call, as lists of events; `shown`: while the answer grows; `validated`: when it is complete."""
        async with Closing(self.events(messages, restart=restart, **options)) as events:
            async for event in events:
                yield [event]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r})"
