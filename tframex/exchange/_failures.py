"""From what went wrong to a `ModelError` that says so, its likely cause and the fix.

The only place where foreign exceptions (the official client's, and those of whatever HTTP library is below it) become
TFrameX's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from tframex.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextLengthError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    RateLimitError,
    ResponseFormatError,
    StreamInterruptedError,
)
from tframex.exchange._retry import retry_after_seconds

__all__ = [
    "error_from_body",
    "interrupted",
    "not_json",
    "redact",
    "started_over",
    "status_error",
    "stream_cut",
    "timed_out",
    "translate",
    "unreadable",
]

_CONTEXT_WORDS = (
    "maximum context length",
    "context_length_exceeded",
    "exceed_context_size",
    "max_model_len",
    "context size",
)
# As vLLM, llama.cpp and OpenAI word it.
_WINDOW = re.compile(r"(?:maximum context length is|max_model_len=|available context size \()\s*(\d+)")
_PROMPT_TOKENS = re.compile(r"(?:prompt contains at least|request \(|messages resulted in)\s*(\d+)")
_SHOWN = 500
_SECRET = 8


def translate(exc: Exception, *, model_id: str, url: str) -> ModelError:
    """The `ModelError` for an exception of the official client or of the transport below it."""
    import openai

    if isinstance(exc, openai.APIStatusError):
        retry_after = retry_after_seconds(exc.response.headers)
        return status_error(exc.status_code, exc.body, model_id=model_id, url=url, retry_after=retry_after)
    names = {type(link).__name__ for link in _chain(exc)}
    if isinstance(exc, openai.APIConnectionError):
        if isinstance(exc, openai.APITimeoutError) and _is_timeout(exc, names):
            connecting = bool(names & {"ConnectTimeout", "ConnectionTimeoutError", "PoolTimeout"})
            return timed_out("connect" if connecting else "first_token", model_id=model_id)
        return _no_connection(exc, model_id=model_id, url=url)
    if isinstance(exc, openai.APIError):
        return error_from_body(exc.body or exc.message, model_id=model_id)
    if names & {"ReadTimeout", "SocketTimeoutError"}:
        return timed_out("idle", model_id=model_id)
    return stream_cut(model_id=model_id, why=_describe(exc))


def not_json(exc: Exception) -> ConfigurationError:
    """The error for messages or options that no request can carry; nothing was sent."""
    return ConfigurationError(
        f"the messages or an option cannot be written as JSON ({_describe(exc)}); use text, numbers, lists and dicts"
    )


def status_error(
    status: int, body: object, *, model_id: str, url: str = "", retry_after: float | None = None
) -> ModelStatusError:
    """The error for an HTTP status, or for the `code` of an error event."""
    said = _message_of(body)
    common: dict[str, Any] = {
        "model_id": model_id,
        "status_code": status,
        "body": body,
        "retry_after": retry_after,
    }
    where = f" at {url}" if url else ""
    if status in (401, 403):
        return AuthenticationError(
            f"the endpoint{where} refused the API key ({status}: {said}). Check API_KEY: a vLLM server wants the "
            "value of its --api-key.",
            **common,
        )
    if status == 404:
        return ModelNotFoundError(
            f"the endpoint{where} does not know model {model_id!r} or is not an OpenAI-compatible API (404: {said}). "
            "Check MODEL_NAME against the names listed under /v1/models, and that API_URL ends in /v1.",
            **common,
        )
    if status in (400, 413, 422, 500) and any(word in f"{said} {body}".lower() for word in _CONTEXT_WORDS):
        return ContextLengthError(
            f"the request does not fit into the context window of {model_id!r} ({status}: {said}). Shorten the "
            "prompt, lower max_tokens, or give the text to ChainOfAgents, which reads it in chunks.",
            prompt_tokens=_number(_PROMPT_TOKENS, said),
            context_window=_number(_WINDOW, said),
            **common,
        )
    if status == 429:
        return RateLimitError(
            f"the endpoint{where} refused the request because there are too many (429: {said}). Lower "
            "max_concurrency or num_calls, or raise max_retries.",
            **common,
        )
    if status >= 500:
        return ModelStatusError(
            f"the endpoint{where} failed ({status}: {said}). It may be overloaded, still loading or out of memory: "
            "look at its log, and lower max_concurrency or num_calls.",
            **common,
        )
    return ModelStatusError(
        f"the endpoint{where} rejected the request ({status}: {said}). Check the options of the call.",
        **common,
    )


def error_from_body(error: object, *, model_id: str) -> ModelStatusError:
    """The error for an `error` value inside a body or event that came with status 200."""
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, (int, str)) and str(code).isdigit() else 500
    return status_error(status, error, model_id=model_id)


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
    """The error for an endpoint that answers anew when it is asked to continue."""
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


def unreadable(head: bytes, *, model_id: str, partial: str = "", why: str = "") -> ModelError:
    """The error for a body that is not a Chat Completions stream, showing how it begins."""
    try:
        body = json.loads(head)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return error_from_body(body["error"], model_id=model_id)
    reason = f" ({why})" if why else ""
    return ResponseFormatError(
        f"the endpoint answered with something that is not a Chat Completions stream{reason}. It begins with "
        f"{head[:200]!r}. Check API_URL: it must be the base of an OpenAI-compatible API, and no login page or proxy "
        "may stand before it.",
        model_id=model_id,
        partial=partial,
    )


def _is_timeout(exc: Exception, names: set[str]) -> bool:
    """The aiohttp transport calls every failure to connect a timeout; what happened is further down the chain."""
    through_aiohttp = any(type(link).__module__.startswith("aiohttp") for link in _chain(exc))
    return not through_aiohttp or bool(names & {"TimeoutError", "ServerTimeoutError", "SocketTimeoutError"})


def _no_connection(exc: Exception, *, model_id: str, url: str) -> ModelConnectionError:
    proxies = [name for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if os.environ.get(name)]
    proxy = f" The environment sends requests through a proxy ({', '.join(proxies)})." if proxies else ""
    return ModelConnectionError(
        f"no connection to {url} ({_describe(exc)}). Check API_URL, the network and the firewall, and that the server "
        f"runs.{proxy}",
        model_id=model_id,
    )


def _message_of(body: object) -> str:
    # {"error": {"message": ...}}, {"error": "Unauthorized"}, {"message": ...}, {"detail": ...}, or plain text.
    while isinstance(body, dict):
        body = next((body[key] for key in ("error", "message", "detail") if body.get(key)), json.dumps(body))
    text = " ".join(str(body).split()) if body else "no explanation"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _number(pattern: re.Pattern[str], said: str) -> int | None:
    match = pattern.search(said)
    return int(match[1]) if match else None


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _describe(exc: Exception) -> str:
    """The deepest link of the chain says what really happened; the upper ones say "Connection error."."""
    root = list(_chain(exc))[-1]
    text = str(root) or next((str(link) for link in _chain(exc) if str(link)), "")
    return f"{type(root).__name__}: {text}" if text else type(root).__name__


def redact(error: BaseException | None, secret: str) -> None:
    """Take a key out of an error and all that caused it: a server may echo it, and so may an HTTP library."""
    # A short one ("none", "x") is no secret, and would be found in words that have nothing to do with it.
    if len(secret) < _SECRET:
        return
    for link in _chain(error):
        link.args = tuple(_without(arg, secret) for arg in link.args)
        for name in ("message", "body", "partial"):
            if getattr(link, name, None):
                setattr(link, name, _without(getattr(link, name), secret))


def _without(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, "***")
    if isinstance(value, dict):
        return {_without(key, secret): _without(item, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, secret) for item in value]
    return value
