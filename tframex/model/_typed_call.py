"""A call whose answer has a type: asked for, validated, and asked for again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tframex._checks import check_count, check_messages
from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Completion, Delta, Timings
from tframex.errors import ContextLengthError, OutputValidationError
from tframex.events import CallRetried, CallStarted, Event, ReasoningPiece, RunFinished, TextPiece, ToolCallPiece
from tframex.model._call_record import note_call, total_usage
from tframex.model._output_request import asked_again, check_free
from tframex.model._typed_answer import TypedAnswer
from tframex.model._typed_request import TypedRequest
from tframex.model.output import Output
from tframex.tasks import Closing

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["TypedCall", "typed_call", "typed_events"]

log = get_logger("tframex.model")

MAX_OUTPUT_RETRIES = 2
# Answers that broke off and whose continuation was of no use: that is not the model's fault.
_MAX_BROKEN = 2


class TypedCall:
    """Asks for an answer of a type as often as it takes.

    Args:
        model: Whom to ask.
        messages: The conversation.
        output_type: The type, or an `Output`.
        retries: How often an answer that is not of the type is asked for again.
        options: The options of the call.
        shown: Whether the answer is shown while it grows.
        restart: Whether an answer that breaks off, and cannot be continued, may start over.

    Raises:
        ConfigurationError: An argument or option is wrong.
    """

    def __init__(
        self,
        model: BaseModel,
        messages: Messages,
        output_type: Any,
        retries: int,
        options: dict[str, Any],
        *,
        shown: bool,
        restart: bool = True,
    ) -> None:
        check_count("max_output_retries", retries, least=0)
        check_messages(messages)
        check_free(options)
        self._model = model
        self._messages = messages
        self._output: Output[Any] = Output.of(output_type)
        self._retries = retries
        self._request = TypedRequest(model, self._output, options, shown=shown, restart=restart)
        self._shown = shown
        self._spent: list[Completion] = []
        self._broken = 0
        self._started = time.perf_counter()

    async def completion(self) -> Completion:
        """The complete answer, with its value."""
        async with Closing(self.batches()) as batches:
            async for events in batches:
                if isinstance(events[-1], RunFinished):
                    found: Completion = events[-1].result
        return found

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens, with `RunFinished` at the end."""
        async with Closing(self.batches()) as batches:
            async for events in batches:
                for event in events:
                    yield event

    async def pieces(self) -> AsyncGenerator[Delta | Completion, None]:
        """The pieces of the answer as they arrive, then the completion."""
        async with Closing(self.events()) as events:
            async for event in events:
                if isinstance(event, TextPiece):
                    yield Delta(event.text, index=event.index, tokens=event.tokens)
                elif isinstance(event, ReasoningPiece):
                    yield Delta(reasoning=event.text, index=event.index)
                elif isinstance(event, ToolCallPiece):
                    yield Delta(tool_calls=(event.call,), index=event.index)
                elif isinstance(event, RunFinished):
                    yield event.result

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """What happens, as lists of events; the last one has `RunFinished` at its end.

        Raises:
            OutputValidationError: No answer was of the type, or one was cut off.
            ModelError: The answer could not be received.
        """
        asked, begun = self._messages, False
        while True:
            answer = TypedAnswer(self._output, items=self._shown)
            try:
                async with Closing(self._request.batches(asked, answer)) as batches:
                    async for events in batches:
                        if isinstance(events[0], CallStarted):
                            # Further requests are reported as retries.
                            events = events[1:] if begun else events
                            begun = True
                        if events:
                            yield events
            except ContextLengthError as error:
                if not self._spent or error.status_code or asked is self._messages:
                    raise
                # There is no room for the answer and what is wrong with it.
                asked = self._messages
                continue
            completion = answer.completion or self._request.left(answer, asked)
            self._spent.append(completion)
            try:
                value = None if completion.tool_calls else answer.value(completion, self._request)
            except OutputValidationError as error:
                final = self._final(error, answer)
                if final is not None:
                    raise final from error
                log.info("asking again", model=self._model.model_id, errors=len(error.errors), answers=len(self._spent))
                yield [CallRetried("answer", error, 0.0, len(error.text))]
                # What came without the grammar is nothing to be corrected.
                asked = self._messages if answer.resumed else asked_again(self._messages, error)
                continue
            result = self._summed(value)
            note_call(result, self._spent)
            yield [RunFinished(result)]
            return

    def _final(self, error: OutputValidationError, answer: TypedAnswer) -> OutputValidationError | None:
        """The error to raise; None: ask again."""
        answers = len(self._spent)
        if answer.resumed and self._broken < _MAX_BROKEN:
            self._broken += 1
            return None
        if not answer.hopeless and answers - self._broken <= self._retries:
            return None
        said = error.args[0]
        if not answer.hopeless:
            said = (
                f"{said}. That was answer {answers} of {answers} (max_output_retries={self._retries}): describe the fields "
                "of the type, make it simpler, use a larger model, or raise max_output_retries."
            )
        return OutputValidationError(said, model_id=self._model.model_id, text=error.text, errors=error.errors)

    def _summed(self, value: Any) -> Completion:
        """The last answer, with what all of them took."""
        last = self._spent[-1]
        if len(self._spent) == 1:
            return replace(last, output=value)
        first = next(
            (found.timings.first_token for found in self._spent if found.timings.first_token is not None), None
        )
        return replace(
            last,
            output=value,
            usage=total_usage(self._spent),
            timings=Timings(first, time.perf_counter() - self._started),
            retries=sum(found.retries for found in self._spent) + len(self._spent) - 1,
            resumes=sum(found.resumes for found in self._spent),
        )


def typed_events(
    model: BaseModel, messages: Messages, output_type: Any, options: dict[str, Any], *, shown: bool
) -> AsyncGenerator[Event, None]:
    """The events of a call with a type, also of a model whose own `events` knows none.

    Args:
        model: Whom to ask.
        messages: The conversation.
        output_type: The type, or an `Output`.
        options: The options of the call, `max_output_retries` among them; they are not changed.
        shown: Whether the answer is shown while it grows.

    Raises:
        ConfigurationError: An argument or option is wrong.
    """
    return _made(model, messages, output_type, options, shown=shown).events()


async def typed_call(model: BaseModel, messages: Messages, output_type: Any, options: dict[str, Any]) -> Completion:
    """The complete answer of a type, also of a model whose own `call` knows none.

    Args:
        model: Whom to ask.
        messages: The conversation.
        output_type: The type, or an `Output`.
        options: The options of the call, `max_output_retries` among them; they are not changed.

    Raises:
        ConfigurationError: An argument or option is wrong.
        OutputValidationError: No answer was of the type, or one was cut off.
        ModelError: The answer could not be received.
    """
    return await _made(model, messages, output_type, options, shown=False).completion()


def _made(model: BaseModel, messages: Messages, output_type: Any, options: dict[str, Any], *, shown: bool) -> TypedCall:
    options = dict(options)
    retries = options.pop("max_output_retries", MAX_OUTPUT_RETRIES)
    return TypedCall(model, messages, output_type, retries, options, shown=shown)
