"""One answer that may call tools, in whichever way the endpoint takes them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tframex._types import Messages
from tframex.completion import Completion, ToolCall
from tframex.errors import ConfigurationError, ModelError, ModelStatusError
from tframex.events import CallRetried, CallStarted, Event, RunFinished, TextPiece, ToolCallPiece
from tframex.model._call_ids import distinct, new_call_id
from tframex.model._fit import fitted
from tframex.model._tool_ladder import Asked, Plan, ToolLadder
from tframex.model.counter import written
from tframex.tasks import Closing

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["act"]

# A prompt that fits everywhere.
_SMALL = 256
# What there is of the JSON of a call that was cut off.
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]*)"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s*:\s*(.*)', re.DOTALL)


async def act(
    model: BaseModel,
    ladder: ToolLadder,
    messages: Messages,
    asked: Asked,
    options: dict[str, Any],
    *,
    restart: bool,
    shown: bool,
    room: int,
    certain: bool,
) -> AsyncGenerator[Event, None]:
    """What happens until the answer is complete; see `BaseModel.act`."""
    if options.get("n") not in (None, 1):
        raise ConfigurationError(f"an answer with tools is one answer; n={options['n']} is several")
    started = False
    while True:
        plan = ladder.plan(messages, asked, options)
        ready = await fitted(model, plan.messages, plan.options, room=room, certain=certain)
        answer = _Answer(plan, asked)
        try:
            async with Closing(_happening(model, plan.messages, ready, restart=restart, shown=shown)) as events:
                async for event in events:
                    if isinstance(event, CallStarted):
                        if not started:
                            started = True
                            yield event
                    elif isinstance(event, TextPiece):
                        for read in answer.text(event):
                            yield read
                    elif isinstance(event, ToolCallPiece):
                        yield answer.piece(event)
                    elif isinstance(event, RunFinished):
                        for read in answer.end(event.result):
                            yield read
                    else:
                        if isinstance(event, CallRetried) and event.dropped:
                            answer = _Answer(plan, asked)
                        yield event
        except ModelStatusError as error:
            if answer.begun or not ladder.refused(plan, asked, error):
                raise
            continue
        completion = answer.completion
        if completion is None:
            raise TypeError(f"{type(model).__name__}.events() must end with RunFinished")
        if asked.must and not completion.tool_calls and not completion.truncated and ladder.ignored(plan):
            why = ModelError("the endpoint ignored the choice of tools", model_id=model.model_id)
            yield CallRetried("answer", why, 0.0, len(completion.text))
            continue
        await _observe(model, plan, completion)
        yield RunFinished(completion)
        return


def _happening(
    model: BaseModel, messages: Messages, options: dict[str, Any], *, restart: bool, shown: bool
) -> AsyncGenerator[Event, None]:
    if shown and restart:
        return _one_by_one(model._batches(messages, options, restart=True, shown=True, validated=False))
    return model.events(messages, restart=restart, **options)


async def _one_by_one(batches: AsyncGenerator[list[Event], None]) -> AsyncGenerator[Event, None]:
    async with Closing(batches) as happened:
        async for events in happened:
            for event in events:
                yield event


async def _observe(model: BaseModel, plan: Plan, completion: Completion) -> None:
    """Learn how many tokens the endpoint has counted, where it does not count beforehand, and they begin to matter."""
    tokens = completion.usage.prompt_tokens if completion.usage is not None else None
    if model.counter.exact or (tokens is not None and tokens < _SMALL):
        return
    window = None
    with suppress(ModelError):
        window = await model.window()
    if window is not None and (tokens is None or tokens * 6 > window):
        model.counter.observe([*plan.messages, *written(plan.options.get("tools") or ())], tokens)


class _Answer:
    """An answer while it arrives."""

    def __init__(self, plan: Plan, asked: Asked) -> None:
        self.begun = False
        self.completion: Completion | None = None
        self._reader = plan.reader(asked)
        self._text: list[str] = []
        self._read: list[ToolCall] = []
        # Ids of the calls that the server has sent without one, by their index.
        self._ids: dict[int, str] = {}

    def text(self, event: TextPiece) -> Iterator[TextPiece | ToolCallPiece]:
        """Take in a piece of text, and return what it is."""
        self.begun = True
        yield from self._events(self._reader.feed(event.text), event.tokens)

    def piece(self, event: ToolCallPiece) -> ToolCallPiece:
        """Take in a piece of a call that the server has read."""
        self.begun = True
        call = event.call
        if call.index not in self._ids:
            self._ids[call.index] = call.id or new_call_id()
            if not call.id:
                return ToolCallPiece(replace(call, id=self._ids[call.index]), event.step, event.index)
        return event

    def end(self, completion: Completion) -> Iterator[TextPiece | ToolCallPiece]:
        """The answer is complete; returns what was held back."""
        yield from self._events(self._reader.end(truncated=completion.truncated), 1)
        choice = completion.choices[0]
        sent = (replace(call, id=call.id or self._ids.get(call.index, "")) for call in choice.tool_calls)
        calls = [*sent, *self._read]
        finish_reason = choice.finish_reason
        if self._reader.cut:
            calls.append(_cut(self._reader.cut))
            # A grammar that ends early is a limit too, whatever the server calls it.
            finish_reason = finish_reason if completion.truncated else "length"
        elif calls and finish_reason in (None, "stop"):
            finish_reason = "tool_calls"
        text = "".join(self._text)
        if calls:
            text = text.strip()
        made = replace(choice, text=text, tool_calls=distinct(calls), finish_reason=finish_reason)
        self.completion = replace(completion, choices=(made, *completion.choices[1:]))

    def _events(self, found: list[str | ToolCall], tokens: int) -> Iterator[TextPiece | ToolCallPiece]:
        for item in found:
            if isinstance(item, str):
                self._text.append(item)
                yield TextPiece(item, tokens=tokens)
            else:
                call = replace(item, index=len(self._ids) + len(self._read))
                self._read.append(call)
                yield ToolCallPiece(call)


def _cut(written: str) -> ToolCall:
    """A call that was cut off: what there is of its name and arguments, which are not JSON."""
    name, arguments = _NAME.search(written), _ARGUMENTS.search(written)
    return ToolCall(0, "", name[1] if name else "", arguments[1] if arguments else "")
