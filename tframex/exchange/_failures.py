"""What goes wrong with an answer, as a `ModelError` that says so, its likely cause and the fix."""

from __future__ import annotations

import json
from typing import Any

from tframex.errors import (
    ModelConnectionError,
    ModelError,
    ModelTimeoutError,
    ResponseFormatError,
    StreamInterruptedError,
)
from tframex.exchange._statuses import error_from_body

__all__ = ["interrupted", "started_over", "stream_cut", "timed_out", "unreadable"]


def timed_out(phase: Any, *, model_id: str, seconds: float | None = None) -> ModelTimeoutError:
    """The error for a time limit that passed."""
    limit = "" if seconds is None else f" within {seconds:g} s"
    text = {
        "connect": f"no connection to the endpoint{limit}. Check API_URL, the network and whether the server runs, or "
        "raise connect_timeout.",
        "first_token": f"the endpoint took the request but sent no token{limit}. It may be overloaded or reading a long "
        "prompt: lower the concurrency, or raise first_token_timeout. The request is not repeated, since the server "
        "may still be working on it.",
        "idle": f"the stream fell silent: no event{limit}. The server may be shutting down, overloaded or behind a "
        "proxy that holds answers back; idle_timeout sets this limit.",
        "total": f"the answer was not finished{limit}. Raise total_timeout or lower max_tokens.",
    }[phase]
    return ModelTimeoutError(text, model_id=model_id, phase=phase)


def stream_cut(*, model_id: str, why: str = "") -> ModelConnectionError:
    """The error for a body that ended before the answer did."""
    reason = why or "the body ended without a finish_reason"
    return ModelConnectionError(
        f"the connection ended in the middle of the answer ({reason}). Often a proxy or tunnel with a time limit "
        "(Cloudflare: 100 s), or an overloaded or restarted server: look at its log, reduce the concurrency, raise "
        "the proxy's limit.",
        model_id=model_id,
    )


def started_over(*, model_id: str) -> ModelConnectionError:
    """The error for an endpoint that starts over when it is asked to continue."""
    return ModelConnectionError("the endpoint started the answer over instead of continuing it", model_id=model_id)


def interrupted(error: ModelError, *, model_id: str, partial: str) -> StreamInterruptedError:
    """The error for an answer that nothing could continue, caused by `error`."""
    result = StreamInterruptedError(
        f"the answer broke off after {len(partial)} characters and could not be continued: {error.args[0]} "
        "The text so far is in `partial` of this error.",
        model_id=model_id,
        partial=partial,
    )
    result.__cause__ = error
    return result


def unreadable(
    head: bytes,
    *,
    model_id: str,
    partial: str = "",
    why: str = "",
    what: str = "Chat Completions",
    begun: bool = False,
) -> ModelError:
    """The error for a body that is not a stream of the API it was asked of (`what`), showing how it begins.

    If it had `begun` as one, the error is that of an event in the middle.
    """
    if begun:
        return ResponseFormatError(
            f"an event in the middle of the {what} stream cannot be read ({why}). The server may have an error, or a proxy "
            "has damaged the event: look at the log of both.",
            model_id=model_id,
            partial=partial,
        )
    try:
        body = json.loads(head)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return error_from_body(body["error"], model_id=model_id)
    reason = f" ({why})" if why else ""
    return ResponseFormatError(
        f"the endpoint answered with something that is not a {what} stream{reason}. It begins with "
        f"{head[:200]!r}. Check API_URL: it must be the base of an OpenAI-compatible API, with no login page or proxy "
        "in front of it.",
        model_id=model_id,
        partial=partial,
    )
