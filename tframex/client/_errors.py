"""The exceptions that leave a drop-in client: both ours and those that a user of the official client catches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import openai

from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, StreamInterruptedError, TFrameXError
from tframex.exchange import ErrorEdge

__all__ = ["APIStreamInterruptedError", "APIStreamTimeoutError", "clean", "official", "reason"]

_Error = TypeVar("_Error", bound=BaseException)


class APIStreamInterruptedError(openai.APIConnectionError, StreamInterruptedError):
    """A stream of `tframex.OpenAI` or `tframex.AsyncOpenAI` broke off and could not be continued.

    It is both an `openai.APIConnectionError` and a `tframex.StreamInterruptedError`. Its cause is what broke the stream:
    the exception of the HTTP library, where there is one.

    Attributes:
        partial: The text that had arrived.
        body: The error that the server sent in the stream, if it sent one; `code`, `param` and `type` are taken from it.
    """

    def __init__(self, error: ModelError, request: Any, *, body: object = None) -> None:
        openai.APIError.__init__(self, str(error), request, body=body)
        self.model_id = error.model_id
        self.partial = error.partial

    def __reduce__(self) -> tuple[Any, ...]:
        # By default it would be made again from its message alone.
        return type(self).__new__, (type(self), *self.args), vars(self)


class APIStreamTimeoutError(APIStreamInterruptedError, openai.APITimeoutError):
    """A stream fell silent in the middle of the answer; also an `openai.APITimeoutError`."""


def clean(client: Any, options: Any, error: _Error) -> _Error:
    """The same exception, without the keys and passwords of the client and of the request."""
    headers = options.headers if isinstance(options.headers, Mapping) else {}
    return ErrorEdge.of(client, "").knowing({"extra_headers": headers, "extra_query": options.params}).clean(error)


def official(error: ModelError, request: Any, *, begun: bool) -> openai.OpenAIError:
    """The exception that a user of the official client expects.

    Args:
        error: Ours.
        request: What was sent.
        begun: Some of the answer had arrived: text, a thought, a tool call.
    """
    links = list(_own(error))
    # An attempt to continue may have been refused in between: the last is what broke the stream.
    status = links[-1] if isinstance(links[-1], ModelStatusError) else None
    timed_out = any(isinstance(link, ModelTimeoutError) for link in links)
    if not begun and status is not None:
        if isinstance(status.__cause__, openai.OpenAIError):
            return status.__cause__.with_traceback(None)
        return openai.APIError(str(error), request, body=status.body)
    if not begun and timed_out:
        return openai.APITimeoutError(request)
    kind = APIStreamTimeoutError if timed_out else APIStreamInterruptedError
    return kind(error, request, body=None if status is None else status.body)


def reason(error: ModelError, *, begun: bool) -> BaseException | None:
    """The cause of the official exception: the exception of the HTTP library, as in the official client."""
    *_, last = _own(error)
    if isinstance(last, ModelStatusError):
        return last if begun else None
    return last.__cause__ or last


def _own(error: BaseException) -> Iterator[TFrameXError]:
    """One of our errors, and our errors among its causes."""
    link: BaseException | None = error
    while isinstance(link, TFrameXError):
        yield link
        link = link.__cause__
