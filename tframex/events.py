"""What a run emits while it happens, in order.

Every model, agent and system has `events()`, which yields these; `run`, `stream` and `complete` are derived from it, and so
are the command line and everything else that observes a run. The last event of a run that succeeds is `RunFinished`; a run
that fails raises.

A call of a model emits `CallStarted`, the pieces of its answer, and `RunFinished` with the `Completion`. A run of an agent
or a system emits the same for each of its steps, with `StepFinished` in place of `RunFinished`, and one `RunFinished` at
its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from tframex.completion import Completion, Delta, ToolCall

__all__ = [
    "CallResumed",
    "CallRetried",
    "CallStarted",
    "Event",
    "OutputPiece",
    "ReasoningPiece",
    "RunFinished",
    "StepFinished",
    "TextPiece",
    "ToolCallPiece",
    "ToolProgress",
    "ToolResult",
    "ToolStarted",
    "in_step",
    "pieces_of",
]


class CallStarted(msgspec.Struct, frozen=True):
    """A model call begins: its first request is about to be sent.

    Attributes:
        step: Which step of the run it is, such as `"answer"` or `"0/3"`.
        kind: What it is for: `"answer"`, `"chunk"`, `"condense"`, `"judge"`, `"sample"`, ...
        model_id: The model that is asked.
    """

    step: str = "answer"
    kind: str = "answer"
    model_id: str = ""


class TextPiece(msgspec.Struct, frozen=True):
    """A piece of an answer's text.

    Attributes:
        text: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
        tokens: How many tokens (events of the server's stream) it is: above 1 where several were joined.
    """

    text: str
    step: str = "answer"
    index: int = 0
    tokens: int = 1


class OutputPiece(msgspec.Struct, frozen=True):
    """An answer with an `output_type` has grown; where the pieces of the answer are shown.

    Attributes:
        value: What has arrived of the value: a dict of what has arrived of an object, a list, a text. The items of a list
            that are more than texts have their type, and the unfinished one is not in it. Nothing else is validated yet.
            It is not changed afterwards.
        step: Which step of the run it belongs to.
    """

    value: Any
    step: str = "answer"


class ReasoningPiece(msgspec.Struct, frozen=True):
    """A piece of what the model thinks before it answers, where that is reported separately.

    Attributes:
        text: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
    """

    text: str
    step: str = "answer"
    index: int = 0


class ToolCallPiece(msgspec.Struct, frozen=True):
    """A piece of a tool call: the first has the id and the name, all have more of the arguments.

    Attributes:
        call: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
    """

    call: ToolCall
    step: str = "answer"
    index: int = 0


class ToolStarted(msgspec.Struct, frozen=True):
    """A tool is about to be called.

    Attributes:
        call: The complete call.
        step: Which step of the run it belongs to.
    """

    call: ToolCall
    step: str = "answer"


class ToolProgress(msgspec.Struct, frozen=True):
    """A tool reports how far it is.

    Attributes:
        call: The complete call.
        text: What it reports, for people to read.
        step: Which step of the run it belongs to.
    """

    call: ToolCall
    text: str
    step: str = "answer"


class ToolResult(msgspec.Struct, frozen=True):
    """A tool has been run, or its call could not be.

    Attributes:
        call: The complete call.
        content: The result as it is sent to the model.
        step: Which step of the run it belongs to.
        failed: Whether the tool has failed.
        from_checkpoint: The tool was not run, since an earlier run had finished the call.
    """

    call: ToolCall
    content: str
    step: str = "answer"
    failed: bool = False
    from_checkpoint: bool = False


class CallRetried(msgspec.Struct, frozen=True):
    """A request has failed before anything of the answer was kept, and is about to be sent again.

    So has an answer that is not of its `output_type`; `error` is then an `OutputValidationError`.

    Attributes:
        step: Which step of the run it belongs to.
        error: Why.
        delay: Seconds until the next request.
        dropped: Characters that had arrived and are asked for again (the answer starts over).
    """

    step: str
    error: Exception
    delay: float = 0.0
    dropped: int = 0


class CallResumed(msgspec.Struct, frozen=True):
    """An answer has broken off and is about to be continued where it broke.

    Attributes:
        step: Which step of the run it belongs to.
        error: What broke it.
        how: `"tokens"`: from exactly these tokens; `"continue"`: from the text, with `continue_final_message`.
        tokens: How many tokens had arrived and are kept.
        delay: Seconds until the next request.
    """

    step: str
    error: Exception
    how: Literal["tokens", "continue"]
    tokens: int = 0
    delay: float = 0.0


class StepFinished(msgspec.Struct, frozen=True):
    """A step of the run is complete.

    Attributes:
        step: Which step it is.
        kind: What it was for.
        completion: The model's answer; None if the step was not a model call, or comes from a checkpoint.
        from_checkpoint: The model was not asked again, since an earlier run had finished the step.
        details: What else is known of it, such as the span of the text that it read.
    """

    step: str
    kind: str
    completion: Completion | None = None
    from_checkpoint: bool = False
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class RunFinished(msgspec.Struct, frozen=True):
    """The run is over; always the last event.

    Attributes:
        result: What `complete` returns: a `Completion`, a `LongTextResult`, `Samples`, ...
    """

    result: Any


Event = (
    CallStarted
    | TextPiece
    | OutputPiece
    | ReasoningPiece
    | ToolCallPiece
    | ToolStarted
    | ToolProgress
    | ToolResult
    | CallRetried
    | CallResumed
    | StepFinished
    | RunFinished
)
"""Anything a run emits."""

E = TypeVar("E", bound=msgspec.Struct)


def in_step(event: E, step: str, kind: str | None = None) -> E:
    """The same event as part of another step; systems emit the events of their calls in this way.

    Args:
        event: Any event but `RunFinished`, which belongs to no step.
        step: The step.
        kind: What the step is for; used for events that have a `kind`.
    """
    if kind is not None and isinstance(event, (CallStarted, StepFinished)):
        return replace(event, step=step, kind=kind)
    return replace(event, step=step)


def pieces_of(delta: Delta, step: str = "answer") -> Iterator[TextPiece | ReasoningPiece | ToolCallPiece]:
    """The events for a piece of a model's answer."""
    if delta.reasoning:
        yield ReasoningPiece(delta.reasoning, step, delta.index)
    if delta.content:
        yield TextPiece(delta.content, step, delta.index, delta.tokens)
    for call in delta.tool_calls:
        yield ToolCallPiece(call, step, delta.index)
