"""A model whose calls are exchanges with a chat endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from tframex._types import Messages
from tframex.completion import Completion, Delta
from tframex.errors import ConfigurationError
from tframex.events import CallStarted, Event, RunFinished
from tframex.exchange import ChatRequest, at_call
from tframex.model._call_record import is_recording, note_call
from tframex.model._endpoint_model import EndpointModel
from tframex.model._make_call import make_call
from tframex.model._typed_call import TypedCall
from tframex.tasks import Closing

__all__ = ["ExchangeModel"]


class ExchangeModel(EndpointModel):
    """The calls of a `VLLMModel`."""

    @at_call
    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        """The text of the answer, piece by piece, as the server generates it.

        Leaving the loop early closes the connection, and the server stops generating; use `contextlib.aclosing` where
        you `break`, so that it happens immediately.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        if options.get("n") not in (None, 1):
            raise ConfigurationError(f"call_stream returns one text; for n={options['n']} use stream or call")
        call = make_call(self, messages, options, restartable=False)
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                for delta in call.shown(batch):
                    if isinstance(delta, str):
                        yield delta
                    elif delta.content:
                        yield delta.content
        if is_recording():
            note_call(call.completion())

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

        Retries and continuations are events too. `RunFinished.result` is the `Completion`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            output_type: The type that the answer is to have; the value is then `Completion.output`. An answer that is not
                of the type is void and asked for again, which `CallRetried` reports. Without `restart`, there is an
                `OutputPiece` whenever the value has grown.
            max_output_retries: How often it is asked for again.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, max_output_retries, options, shown=not restart)
            async with Closing(typed.events()) as events:
                async for event in events:
                    yield event
            return
        call = make_call(self, messages, options, restartable=restart, shown=not restart)
        yield CallStarted(model_id=self.model_id)
        call.report()
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                for event in call.happened(batch):
                    yield event
        completion = call.completion()
        note_call(completion)
        yield RunFinished(completion)

    @at_call
    async def stream(
        self, messages: Messages, *, output_type: Any = None, **options: Any
    ) -> AsyncGenerator[Delta | Completion, None]:
        """The answer piece by piece, then the `Completion` as the last item.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            output_type: The type that the answer is to have; the value is then `Completion.output`. The pieces cannot be
                taken back: an answer that is not of the type is not asked for again.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, 0, options, shown=True, restart=False)
            async with Closing(typed.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            return
        call = make_call(self, messages, options, restartable=False)
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                for delta in call.shown(batch):
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    @at_call
    async def call(
        self, messages: Messages, *, output_type: Any = None, max_output_retries: int = 2, **options: Any
    ) -> Completion:
        """The complete answer, with its usage, timings, and how often it was retried or resumed.

        Since the text is not shown before it is complete, an answer that breaks off and cannot be continued starts over,
        within `max_retries`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            output_type: The type that the answer is to have: a pydantic model, a dataclass, `list[...]`, an `Output`, ...;
                the value is then `Completion.output`. The request is fitted into the context window.
            max_output_retries: How often an answer that is not of the type is asked for again, with what is wrong with it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            OutputValidationError: No answer was of the type, or one was cut off at a limit.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        if output_type is not None:
            typed = TypedCall(self, messages, output_type, max_output_retries, options, shown=False)
            return await typed.completion()
        call = make_call(self, messages, options, restartable=True, shown=False)
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                call.shown(batch)
        completion = call.completion()
        note_call(completion)
        return completion

    async def continues(self, options: dict[str, Any]) -> bool:
        """Whether `stream_after` can continue a partial answer to a request with these options.

        Not with `resume="never"`, tools, a grammar, a type or `n` above 1; else it depends on the endpoint, which is asked
        once.

        Args:
            options: The options of the call.
        """
        if options.get("output_type") is not None:
            return False
        request = ChatRequest.build(self.model_id, [], options)
        if not request.spliceable or self._settings.override(dict(options)).resume != "auto":
            return False
        return await self._lookup.continues()

    @at_call
    async def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncGenerator[Delta | Completion, None]:
        """Like `stream`, for an answer whose beginning, `partial`, an earlier run has received; it is the first piece.

        Args:
            messages: The conversation.
            partial: The beginning of the answer.
            tokens: How many tokens (events of the stream) it took; `max_tokens` is reduced by it.
            **options: The options of the call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = make_call(self, messages, options, restartable=False)
        call.begin_with(partial, tokens)
        yield Delta(partial)
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                for delta in call.shown(batch):
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    async def _batches(
        self, messages: Messages, options: dict[str, Any], *, restart: bool, shown: bool, validated: bool = True
    ) -> AsyncGenerator[list[Event], None]:
        if type(self).events is not ExchangeModel.events:
            async with Closing(super()._batches(messages, options, restart=restart, shown=shown)) as batches:
                async for events in batches:
                    yield events
            return
        call = make_call(self, messages, options, restartable=restart, shown=shown, validated=validated)
        yield [CallStarted(model_id=self.model_id)]
        call.report()
        async with call.reading(await self._connector.get()) as arrivals:
            async for batch in arrivals:
                if events := call.happened(batch):
                    yield events
        completion = call.completion()
        note_call(completion)
        yield [RunFinished(completion)]
