"""Checking what a model is made and called with, before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from tframex._checks import check_count
from tframex._types import Messages, ReasoningMode, ResumeMode
from tframex.errors import ConfigurationError
from tframex.exchange import Clocks

__all__ = ["Settings", "check_api_key", "check_messages", "display_url", "normalize_url", "read_env"]

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_VERSION = re.compile(r"/v\d+\w*(/|$)")


@dataclass(frozen=True)
class Settings:
    """The keywords that the SDK keeps for itself; they may be given to a model and overridden in each call."""

    connect_timeout: float | None = 10.0
    first_token_timeout: float | None = 600.0
    idle_timeout: float | None = 60.0
    total_timeout: float | None = None
    max_retries: int = 2
    resume: ResumeMode = "auto"
    reasoning: ReasoningMode = "inline"
    max_repeats: int | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0):
                raise ConfigurationError(
                    f"{name} must be a number of seconds above 0, or None for no limit, not {value!r}"
                )
        check_count("max_retries", self.max_retries, least=0)
        if self.max_repeats is not None:
            check_count("max_repeats", self.max_repeats, least=2)
        for name, kind in (("resume", ResumeMode), ("reasoning", ReasoningMode)):
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(map(repr, get_args(kind)))
                raise ConfigurationError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")

    def override(self, options: dict[str, Any]) -> Settings:
        """These settings, changed by those among `options`, which are taken out of it."""
        own = {field.name: options.pop(field.name) for field in fields(self) if field.name in options}
        return replace(self, **own) if own else self

    @property
    def clocks(self) -> Clocks:
        """The time limits of a stream."""
        return Clocks(first_token=self.first_token_timeout, idle=self.idle_timeout, total=self.total_timeout)


def check_messages(messages: object) -> Messages:
    """Refuse what no chat endpoint could make sense of."""
    if isinstance(messages, str):
        raise ConfigurationError(
            f"messages must be a list of messages, not the string {_short(messages)}; "
            'write [{"role": "user", "content": ...}], or give the prompt to an agent'
        )
    if not isinstance(messages, (list, tuple)):
        raise ConfigurationError(f"messages must be a list of messages, not {type(messages).__name__}")
    if not messages:
        raise ConfigurationError("messages is empty; give at least one message")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ConfigurationError(f"messages[{position}] must be a dict, not {_short(message)}")
        role = message.get("role")
        if role not in _ROLES:
            raise ConfigurationError(f"messages[{position}] has the role {role!r}; expected one of {', '.join(_ROLES)}")
        content = message.get("content")
        if not isinstance(content, (str, list)) and not (content is None and role == "assistant"):
            raise ConfigurationError(f"messages[{position}]['content'] must be text, not {_short(content)}")
    return messages


def normalize_url(api_url: object) -> str:
    """The base URL of the API, with `/v1` where it has no version of its own."""
    if not isinstance(api_url, str) or not api_url.strip():
        raise ConfigurationError(f"api_url must be a URL such as 'http://localhost:8000/v1', not {api_url!r}")
    try:
        url = urlsplit(api_url.strip())
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"api_url {display_url(api_url)!r} is not an http(s) URL; write it with its scheme, such as "
            "'http://localhost:8000/v1'"
        )
    if url.username is not None or url.query or url.fragment:
        raise ConfigurationError(
            f"api_url {display_url(api_url)!r} has a user, a query or a fragment; a key goes into api_key, and "
            "headers into default_headers"
        )
    path = url.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
    if not _VERSION.search(path):
        path += "/v1"
    return urlunsplit((url.scheme, url.netloc, path, "", ""))


def display_url(url: str) -> str:
    """The URL without what may be secret in it: user, password, query."""
    # A password may have a slash, and a URL that is none may have no scheme.
    scheme, separator, rest = url.rpartition("://")
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return re.sub(r"[?#].*", "?***", f"{scheme}{separator}{rest}")


def check_api_key(api_key: object) -> str:
    """Refuse a missing key."""
    if not isinstance(api_key, str) or not api_key.strip():
        raise ConfigurationError("api_key is missing; for a server without a key give any text, such as 'none'")
    if not api_key.strip().isascii() or not api_key.strip().isprintable():
        raise ConfigurationError("api_key has characters that no HTTP header can carry; copy it again")
    return api_key.strip()


def read_env(environ: Mapping[str, str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The variables `API_URL`, `API_KEY`, ... as keywords of `VLLMModel`; what is `given` need not be set."""
    environ = os.environ if environ is None else environ

    def required(keyword: str, *names: str) -> str | None:
        if keyword in given:
            return None
        for name in names:
            if environ.get(name, "").strip():
                return environ[name].strip()
        alternatives = f" (or {', '.join(names[1:])})" if names[1:] else ""
        raise ConfigurationError(
            f"the environment variable {names[0]}{alternatives} is not set; set it, or copy .env.example to .env, fill "
            "it in and load it"
        )

    def number(name: str, kind: type[int] | type[float]) -> Any:
        value = environ.get(name, "").strip()
        try:
            return kind(value) if value else None
        except ValueError:
            raise ConfigurationError(f"the environment variable {name} must be a number, not {value!r}") from None

    keywords = {
        "model_name": required("model_name", "MODEL_NAME"),
        "api_url": required("api_url", "API_URL", "OPENAI_BASE_URL"),
        "api_key": required("api_key", "API_KEY", "OPENAI_API_KEY"),
        "default_max_tokens": number("MAX_TOKENS", int),
        "default_temperature": number("TEMPERATURE", float),
    }
    return {name: value for name, value in keywords.items() if value is not None}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
