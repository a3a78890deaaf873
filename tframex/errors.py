"""Every error TFrameX raises.

    TFrameXError
    ├── ConfigurationError (also ValueError)    a bad argument or setting, found before any request
    ├── ModelError                              .model_id .partial
    │   ├── ModelConnectionError                the endpoint could not be reached, or went away
    │   │   └── ModelTimeoutError               .phase
    │   ├── ModelStatusError                    .status_code .body
    │   │   ├── AuthenticationError
    │   │   ├── ModelNotFoundError
    │   │   ├── RateLimitError                  .retry_after
    │   │   └── ContextLengthError              .prompt_tokens .context_window
    │   ├── ResponseFormatError                 the endpoint does not send a Chat Completions stream
    │   ├── OutputValidationError               .text .errors
    │   ├── StreamInterruptedError              an answer broke off and could not be continued
    │   └── WrongLoopError
    ├── ChunkingError
    ├── OutputError                             .path
    │   └── CheckpointError
    ├── LocalServerError
    ├── ToolError                               .tool .calls .path
    │   ├── UncertainCallError
    │   └── ApprovalNeeded
    ├── ToolServerError
    ├── RunLimitError                           .limit .history .usage
    └── PartialFailureError                     .results .errors

A message says what happened, the likely cause and what to do, and names a heading of the page Troubleshooting. The original
exception is always on `__cause__`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

__all__ = [
    "ApprovalNeeded",
    "AuthenticationError",
    "CheckpointError",
    "ChunkingError",
    "ConfigurationError",
    "ContextLengthError",
    "LocalServerError",
    "ModelConnectionError",
    "ModelError",
    "ModelNotFoundError",
    "ModelStatusError",
    "ModelTimeoutError",
    "OutputError",
    "OutputValidationError",
    "PartialFailureError",
    "RateLimitError",
    "ResponseFormatError",
    "RunLimitError",
    "StreamInterruptedError",
    "TFrameXError",
    "ToolError",
    "ToolServerError",
    "UncertainCallError",
    "WrongLoopError",
]

_Phase = Literal["connect", "first_token", "idle", "total"]


class TFrameXError(Exception):
    """Base of every error that TFrameX raises."""

    def __str__(self) -> str:
        """The message, and the heading of the documentation's page Troubleshooting with more about it."""
        said = super().__str__()
        name = next(cls.__name__ for cls in type(self).__mro__ if cls.__name__ in __all__)
        # A message that includes another error's keeps that one's heading.
        return said if not said or "(Troubleshooting: " in said else f"{said} (Troubleshooting: {name})"


class ConfigurationError(TFrameXError, ValueError):
    """An argument, option or environment variable is missing or wrong; nothing was sent."""


class ModelError(TFrameXError):
    """A call to a model failed.

    Attributes:
        model_id: Which model it was.
        partial: The text that had arrived before the failure; empty if none had.
    """

    def __init__(self, message: str, *, model_id: str = "", partial: str = "") -> None:
        super().__init__(message)
        self.model_id, self.partial = model_id, partial


class ModelConnectionError(ModelError):
    """The endpoint could not be reached, or closed the connection before it answered."""


class ModelTimeoutError(ModelConnectionError):
    """A time limit passed.

    Attributes:
        phase: Which limit: `"connect"`, `"first_token"`, `"idle"` or `"total"`.
    """

    def __init__(self, message: str, *, model_id: str = "", partial: str = "", phase: _Phase = "idle") -> None:
        super().__init__(message, model_id=model_id, partial=partial)
        self.phase = phase


class ModelStatusError(ModelError):
    """The endpoint answered with an error.

    Attributes:
        status_code: The HTTP status, or the `code` of an error event inside a stream.
        body: What the endpoint sent: a parsed JSON value, text, or None.
        retry_after: Seconds the endpoint asked to wait before another try, or None.
    """

    def __init__(
        self, message: str, *, status_code: int = 0, body: Any = None, retry_after: float | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.status_code, self.body, self.retry_after = status_code, body, retry_after


class AuthenticationError(ModelStatusError):
    """The endpoint refused the API key (401 or 403)."""


class ModelNotFoundError(ModelStatusError):
    """The endpoint does not serve this model, or the URL is not its API (404)."""


class RateLimitError(ModelStatusError):
    """The endpoint refused the request because of too many requests (429)."""


class ContextLengthError(ModelStatusError):
    """The request does not fit into the model's context window; a `status_code` of 0 means that nothing was sent.

    Attributes:
        prompt_tokens: How many tokens the prompt has, or None if not reported.
        context_window: How many tokens the model takes, or None if not reported.
    """

    def __init__(
        self, message: str, *, prompt_tokens: int | None = None, context_window: int | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.prompt_tokens, self.context_window = prompt_tokens, context_window


class ResponseFormatError(ModelError):
    """The endpoint answered with something that is not a Chat Completions stream."""


class OutputValidationError(ModelError):
    """An answer is not what its `output_type` says.

    Attributes:
        text: The answer.
        errors: What is wrong with it, one line each: where, then what.
    """

    def __init__(self, message: str, *, model_id: str = "", text: str = "", errors: Iterable[str] = ()) -> None:
        super().__init__(message, model_id=model_id, partial=text)
        self.text, self.errors = text, tuple(errors)


class StreamInterruptedError(ModelError):
    """An answer broke off and could not be continued; `partial` has the text so far."""


class WrongLoopError(ModelError):
    """A model, client or system was used from a second event loop while its first one is still alive."""


class ChunkingError(TFrameXError):
    """No text fits into a chunk: the prompt and the answer leave no room, or one character has too many tokens."""


class OutputError(TFrameXError):
    """A file could not be written or read.

    Attributes:
        path: The file or folder.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class CheckpointError(OutputError):
    """A checkpoint is damaged, belongs to another job, is in use by another run, or cannot be read or written."""


class LocalServerError(TFrameXError):
    """The embedded model server could not be started, or ended unexpectedly."""


class ToolError(TFrameXError):
    """A tool raised an error that is none for the model; the run has ended. The error is on `__cause__`.

    Attributes:
        tool: The name of the tool.
        calls: The calls that it is about (`tframex.ToolCall`).
        path: The checkpoint of the run; empty without one.
    """

    def __init__(self, message: str, *, tool: str = "", calls: tuple[Any, ...] = (), path: str = "") -> None:
        super().__init__(message)
        self.tool, self.calls, self.path = tool, calls, path


class UncertainCallError(ToolError):
    """An earlier run ended in the middle of calls, and whether they have taken effect is unknown: a person decides."""


class ApprovalNeeded(ToolError):  # noqa: N818 - the run has not failed: it waits
    """Calls wait for a person's approval; nothing of their step has run."""


class ToolServerError(TFrameXError):
    """A server of tools (MCP) could not be started or reached, or has ended."""


class RunLimitError(TFrameXError):
    """The run of an agent has reached one of its limits before it had an answer.

    Attributes:
        limit: The setting that says how much it may take, such as `"max_steps"`.
        history: The conversation until then, without the system prompt; it can be sent again.
        usage: The tokens that it has taken, or None if they are not reported.
    """

    def __init__(self, message: str, *, limit: str = "", history: Iterable[Any] = (), usage: Any = None) -> None:
        super().__init__(message)
        self.limit, self.history, self.usage = limit, list(history), usage


class PartialFailureError(TFrameXError):
    """Some of several calls failed; what the others returned is kept.

    Attributes:
        results: What succeeded, by name.
        errors: What failed, by name.
    """

    def __init__(
        self, message: str, *, results: dict[str, Any] | None = None, errors: dict[str, Exception] | None = None
    ) -> None:
        super().__init__(message)
        self.results, self.errors = results or {}, errors or {}
