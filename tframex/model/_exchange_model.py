"""A model whose calls are exchanges with a chat endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from tframex._checks import check_messages
from tframex._types import Messages
from tframex.completion import Completion, Delta
from tframex.errors import ConfigurationError
from tframex.events import CallStarted, Event, RunFinished
from tframex.exchange import GATHER, ChatRequest, Exchange, Lookup, RetryBudget, at_call
from tframex.model._call_record import is_recording, note_call
from tframex.model._connection import Connector
from tframex.model._identity import shaping
from tframex.model._model_call import ModelCall
from tframex.model._settings import Settings, body_of
from tframex.model.base import BaseModel
from tframex.tasks import Closing

__all__ = ["ExchangeModel"]


class ExchangeModel(BaseModel):
    """The calls of a `VLLMModel`.

    Args:
        model_id: The served name.
        connector: Makes the connections.
        settings: The settings of a call that does not override them.
    """

    def __init__(self, model_id: str, connector: Connector, settings: Settings) -> None:
        super().__init__(model_id)
        self.default_temperature: float | None = None
        self._connector = connector
        self._settings = settings
        self._lookup = Lookup(model_id, connector.endpoint)
        self._budget = RetryBudget()

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
        call = self._call(messages, options, restartable=False)
        async with Closing(call.pieces(await self._connector.get())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    if isinstance(delta, str):
                        yield delta
                    elif delta.content:
                        yield delta.content
        if is_recording():
            note_call(call.completion())

    @at_call
    async def events(self, messages: Messages, *, restart: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete: `CallStarted`, its pieces as they arrive, `RunFinished` at the end.

        Retries and continuations are events too. `RunFinished.result` is the `Completion`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=restart, shown=not restart)
        yield CallStarted(model_id=self.model_id)
        async with Closing(call.events(await self._connector.get())) as batches:
            async for events in batches:
                for event in events:
                    yield event
        completion = call.completion()
        note_call(completion)
        yield RunFinished(completion)

    @at_call
    async def stream(self, messages: Messages, **options: Any) -> AsyncGenerator[Delta | Completion, None]:
        """The answer piece by piece, then the `Completion` as the last item.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=False)
        async with Closing(call.pieces(await self._connector.get())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    @at_call
    async def call(self, messages: Messages, **options: Any) -> Completion:
        """The complete answer, with its usage, timings, and how often it was retried or resumed.

        Since the text is not shown before it is complete, an answer that breaks off and cannot be continued starts over,
        within `max_retries`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=True, shown=False)
        async with Closing(call.batches(await self._connector.get())) as batches:
            async for _ in batches:
                pass
        completion = call.completion()
        note_call(completion)
        return completion

    async def continues(self, options: dict[str, Any]) -> bool:
        """Whether `stream_after` can continue a partial answer to a request with these options.

        Not with `resume="never"`, tools, a grammar or `n` above 1; else it depends on the endpoint, which is asked once.

        Args:
            options: The options of the call.
        """
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
        call = self._call(messages, options, restartable=False)
        call.begin_with(partial, tokens)
        yield Delta(partial)
        async with Closing(call.pieces(await self._connector.get())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together.

        That is `context_window`, if you gave it; else what the endpoint reports (asked once, or taken from its refusal of
        a prompt that was too long); else None.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        return self.context_window or await self._lookup.window()

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long; `context_window` takes precedence over it.

        Args:
            window: Tokens that prompt and answer may have together.
        """
        if self.context_window is None:
            self._lookup.note_window(window)

    async def count_tokens(self, what: str | Messages, *, tools: Sequence[Mapping[str, Any]] = ()) -> int | None:
        """Tokens of a text or a conversation, counted by vLLM or llama.cpp; None if the endpoint does not count.

        Args:
            what: A text, or a conversation with what the chat template adds to it.
            tools: The definitions of tools that are sent with a conversation.

        Raises:
            ModelError: The endpoint could not be reached, or is busy.
        """
        return await self._lookup.count(what, tools)

    async def close_client(self) -> None:
        """Close the connections. The model can be used again afterwards."""
        await self._connector.aclose()

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        """What shapes the answers to requests with these options, apart from their messages.

        Checkpoints identify a call by it: the model, the options and, where an option is not given, the model's own
        setting; not the time limits, the retries or the headers.

        Args:
            options: The options of the call; they are not changed.
        """
        own: dict[str, Any] = {
            "model": self.model_id,
            "max_tokens": self.default_max_tokens,
            "temperature": self.default_temperature,
            "reasoning": self._settings.reasoning,
            "max_repeats": self._settings.max_repeats,
        }
        return shaping({**own, **options})

    def _call(self, messages: Messages, options: dict[str, Any], *, restartable: bool, shown: bool = True) -> ModelCall:
        check_messages(messages)
        options = dict(options)
        settings = self._settings.override(options)
        model = options.pop("model", self.model_id)
        body = body_of(options, max_tokens=self.default_max_tokens, temperature=self.default_temperature)
        # A user's official client has its own timeout.
        connecting = Settings.connect_timeout if self._connector.official else self._settings.connect_timeout
        if settings.connect_timeout != connecting and "timeout" not in body:
            from tframex.exchange.transport import transport_timeout

            body["timeout"] = transport_timeout(settings.connect_timeout)
        exchange = Exchange(
            ChatRequest.build(model, messages, body),
            served=self._lookup.served_as(model),
            budget=self._budget,
            model_id=self.model_id,
            max_retries=settings.max_retries,
            resume=settings.resume,
            restartable=restartable,
            limit=self.limit,
            reasoning=settings.reasoning,
        )
        # One of several answers that loops must not end the others.
        repeats = settings.max_repeats if options.get("n") in (None, 1) else None
        pace = settings.pace if shown else GATHER
        return ModelCall(exchange, settings.clocks, self.model_id, self.limit, repeats, pace)
