"""The requests of one answer of a type: in the best form that the endpoint takes."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.completion import Choice, Completion, Timings, Usage
from tframex.errors import ModelStatusError, ModelTimeoutError
from tframex.events import CallStarted, Event
from tframex.exchange import keywords_refused, may_refuse_form, timed_out
from tframex.model._call_record import note_call
from tframex.model._output_request import form_options, with_text
from tframex.model.output import Output
from tframex.servers import OutputForm, ServerKind
from tframex.tasks import Closing

if TYPE_CHECKING:
    from tframex.model._typed_answer import TypedAnswer
    from tframex.model.base import BaseModel

__all__ = ["TypedRequest"]

log = get_logger("tframex.model")


class TypedRequest:
    """Sends conversations whose answers are to have a type.

    Args:
        model: Whom to ask.
        output: The type.
        options: The options of the call.
        shown: Whether the answer is shown while it grows.
        restart: Whether an answer that breaks off, and cannot be continued, may start over.
    """

    def __init__(
        self, model: BaseModel, output: Output[Any], options: dict[str, Any], *, shown: bool, restart: bool
    ) -> None:
        self._model = model
        self._output = output
        self._options = options
        self._shown = shown
        self._restart = restart
        self._ready: dict[str, Any] = options
        self._total = model._total_timeout(options)
        self._started = time.perf_counter()

    async def batches(self, messages: Messages, answer: TypedAnswer) -> AsyncGenerator[list[Event], None]:
        """What happens until the answer is complete, as lists of events, without `RunFinished`.

        Raises:
            ModelError: The answer could not be received.
        """
        outputs, server = await self._model._outputs(self._options)
        refused: list[tuple[OutputForm, ModelStatusError]] = []
        without = set(outputs.without)
        while True:
            sent = self._output.sent(without)
            key = json.dumps(sent.schema)
            given_up = [form for form, _ in refused]
            form = next(form for form in outputs.forms(server(), key) if form not in given_up)
            asked: Messages = messages
            if self._describes(form, server()):
                asked = with_text(messages, self._output.instructions(sent.schema))
            options = {**self._options, **form_options(form, self._output.name, sent)}
            self._ready = await self._model.fit(asked, self._in_time(options))
            begun = False
            source = self._model._batches(asked, self._ready, restart=self._restart, shown=self._shown)
            try:
                async with Closing(source) as batches:
                    async for events in batches:
                        if not begun and not all(isinstance(event, CallStarted) for event in events):
                            begun = True
                            outputs.without |= without
                            for other, error in refused:
                                outputs.learn(other, key, error)
                        if passed := answer.take(events):
                            yield passed
                        if answer.over:
                            return
                return
            except ModelTimeoutError as error:
                if error.phase == "total" and self._total is not None:
                    # Not what was left of it.
                    late = timed_out("total", model_id=self._model.model_id, seconds=self._total)
                    late.partial = error.partial
                    raise late from error
                raise
            except ModelStatusError as error:
                if begun or form == "prompt" or not may_refuse_form(error):
                    raise
                named = keywords_refused(error, sent.schema) - without
                log.info("form of answer refused", model=self._model.model_id, form=form, without=sorted(named))
                if named:
                    without |= named
                else:
                    refused.append((form, error))

    def _describes(self, form: OutputForm, server: ServerKind) -> bool:
        """Whether the prompt shows the schema."""
        if form in ("json_object", "prompt"):
            return True
        wanted = self._output.describe
        return wanted if wanted is not None else not (form == "response_format" and server.shows_schema)

    def left(self, answer: TypedAnswer, messages: Messages) -> Completion:
        """The completion of an answer that was left before its end: what has arrived, and about what it took."""
        usage = Usage(self._model.counter.count_messages(messages), answer.tokens, estimated=True)
        seconds = time.perf_counter() - self._started
        choice = Choice(answer.text, answer.reasoning)
        timings = Timings(None, seconds)
        completion = Completion((choice,), self._model.model_id, usage, timings, answer.retries, answer.resumes)
        note_call(completion)
        return completion

    def limit(self, completion: Completion) -> str:
        """Where an answer was cut off, and what to do."""
        model, options = self._model, self._options
        most = model.answer_tokens(self._ready)
        taken = completion.usage.completion_tokens if completion.usage else None
        window = f"of the context window of {model.model_id!r}: shorten the prompt, or use a model with a larger one"
        if most is not None and most != model.answer_tokens(options):
            return f"{most} tokens, all that the prompt left {window}"
        if most is not None and taken is not None and taken < most:
            return f"{taken} tokens, all that the prompt left {window}"
        for name in ("max_completion_tokens", "max_tokens"):
            if options.get(name) is not None:
                return f"{name}={options[name]} of the call: raise it"
        if most is not None:
            return f"default_max_tokens={most} of the model: raise it, or give the call max_tokens"
        return f"the endpoint's own limit, or that {window}"

    def _in_time(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with what is left of the total time."""
        if self._total is None:
            return options
        left = self._total - (time.perf_counter() - self._started)
        if left <= 0:
            raise timed_out("total", model_id=self._model.model_id, seconds=self._total)
        return {**options, "total_timeout": left}
