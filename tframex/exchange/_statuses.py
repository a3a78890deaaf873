"""From an HTTP status, or an error inside a stream, to a `ModelStatusError`."""

from __future__ import annotations

import json
import re
from typing import Any

from tframex.errors import (
    AuthenticationError,
    ContextLengthError,
    ModelNotFoundError,
    ModelStatusError,
    RateLimitError,
)

__all__ = ["error_from_body", "status_error"]

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
# The names of errors inside a stream, in `code` or `type`; gateways pass on the names used by the servers behind them.
_STATUS_OF = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "authenticationerror": 401,
    "unauthorized": 401,
    "unauthenticated": 401,
    "account_deactivated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "permissiondeniederror": 403,
    "forbidden": 403,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "context_length_exceeded": 400,
    "contextwindowexceedederror": 400,
    "exceed_context_size_error": 400,
    "string_above_max_length": 400,
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_argument": 400,
    "badrequesterror": 400,
    "bad_request": 400,
    "bad request": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "unsupported_parameter": 400,
    "unsupported_value": 400,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "ratelimiterror": 429,
    "too_many_requests": 429,
    "too many requests": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "request_timeout": 408,
    "overloaded_error": 503,
    "unavailable_error": 503,
    "service_unavailable": 503,
    "service unavailable": 503,
    "serviceunavailableerror": 503,
}


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
            f"the endpoint{where} refused the API key ({status}: {said}). Check API_KEY: a vLLM server expects the "
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
            f"the endpoint{where} refused the request because it has too many (429: {said}). Lower "
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
    return status_error(_status_of(error), error, model_id=model_id)


def _status_of(error: object) -> int:
    """The HTTP status that an error inside a stream corresponds to; 500 if it has no known code or name."""
    fields = error if isinstance(error, dict) else {}
    for name in ("code", "status_code", "status", "type"):
        value = fields.get(name)
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            text = str(value).strip().lower()
            # Zhipu's "1210" is Zhipu's own code, not a status.
            if len(text) == 3 and text.isascii() and text.isdigit() and 400 <= int(text) <= 599:
                return int(text)
            if text in _STATUS_OF:
                return _STATUS_OF[text]
    return 500


def _message_of(body: object) -> str:
    # {"error": {"message": ...}}, {"error": "Unauthorized"}, {"message": ...}, {"detail": ...}, or plain text.
    while isinstance(body, dict):
        body = next((body[key] for key in ("error", "message", "detail") if body.get(key)), json.dumps(body))
    text = " ".join(str(body).split()) if body else "no explanation"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _number(pattern: re.Pattern[str], said: str) -> int | None:
    match = pattern.search(said)
    return int(match[1]) if match else None
