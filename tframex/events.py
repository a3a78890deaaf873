"""What a run emits while it happens, in order.

Every model, agent and system has `events()`, which yields these; `run`, `stream` and `complete` are derived from it, and so
are the command line and whatever else looks at a run. The last event of a run that succeeds is `RunFinished`; a run that
fails raises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tframex.completion import Completion, ToolCall

__all__ = [
    "CallResumed",
    "CallRetried",
    "CallStarted",
    "Event",
    "ReasoningPiece",
    "RunFinished",
    "StepFinished",
    "TextPiece",
    "ToolCallPiece",
    "ToolResult",
]


@dataclass(frozen=True)
class CallStarted:
    """A model call begins: its first request is about to be sent.

    Attributes:
        step: Which step of the run it is, such as `"answer"` or `"0/3"`.
        kind: What it is for: `"answer"`, `"chunk"`, `"condense"`, `"judge"`, `"sample"`, ...
        model_id: The model that is asked.
    """

    step: str
    kind: str
    model_id: str


@dataclass(frozen=True)
class TextPiece:
    """A piece of an answer's text.

    Attributes:
        text: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
    """

    text: str
    step: str = "answer"
    index: int = 0


@dataclass(frozen=True)
class ReasoningPiece:
    """A piece of what the model thinks before it answers, where that is reported separately.

    Attributes:
        text: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
    """

    text: str
    step: str = "answer"
    index: int = 0


@dataclass(frozen=True)
class ToolCallPiece:
    """A piece of a tool call: the first has the id and the name, all have more of the arguments.

    Attributes:
        call: The piece.
        step: Which step of the run it belongs to.
        index: Which of the `n` answers of the call it belongs to.
    """

    call: ToolCall
    step: str = "answer"
    index: int = 0


@dataclass(frozen=True)
class ToolResult:
    """A tool has been run.

    Attributes:
        call: The complete call.
        content: What the model is told.
        step: Which step of the run it belongs to.
        failed: Whether the tool has failed.
    """

    call: ToolCall
    content: str
    step: str = "answer"
    failed: bool = False


@dataclass(frozen=True)
class CallRetried:
    """A request has failed before anything of the answer was kept, and is about to be sent again.

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


@dataclass(frozen=True)
class CallResumed:
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


@dataclass(frozen=True)
class StepFinished:
    """A step of the run is complete.

    Attributes:
        step: Which step it is.
        kind: What it was for.
        completion: What the model answered; None if the step was no model call, or comes from a checkpoint.
        from_checkpoint: It was not asked again, since an earlier run had finished it.
        details: What else is known of it, such as the span of the text that it read.
    """

    step: str
    kind: str
    completion: Completion | None = None
    from_checkpoint: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFinished:
    """The run is over; always the last event.

    Attributes:
        result: What `complete` returns: a `Completion`, a `LongTextResult`, `Samples`, ...
    """

    result: Any


Event = (
    CallStarted
    | TextPiece
    | ReasoningPiece
    | ToolCallPiece
    | ToolResult
    | CallRetried
    | CallResumed
    | StepFinished
    | RunFinished
)
"""Anything a run emits."""
