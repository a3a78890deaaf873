"""A model's arguments from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tframex.errors import ConfigurationError

__all__ = ["read_env"]

# Each URL variable and the variable with its key. They are never mixed: a key is only sent to its own URL.
_PAIRS = {"API_URL": "API_KEY", "OPENAI_BASE_URL": "OPENAI_API_KEY"}


def read_env(environ: Mapping[str, str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The variables `API_URL`, `API_KEY`, ... as keywords of `VLLMModel`; what is `given` need not be set.

    Raises:
        ConfigurationError: A variable is missing or not a number.
    """
    environ = os.environ if environ is None else environ
    found = {name: value.strip() for name, value in environ.items() if value.strip()}
    url, key = _address(found, given)
    keywords = {
        "model_name": None if "model_name" in given else _required(found, "MODEL_NAME"),
        "api_url": url,
        "api_key": key,
        "default_max_tokens": _number(found, "MAX_TOKENS", int),
        "default_temperature": _number(found, "TEMPERATURE", float),
    }
    return {name: value for name, value in keywords.items() if value is not None}


def _address(found: Mapping[str, str], given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The URL and its key, both of one pair; None for what is given."""
    source = "API_URL"
    url = None
    if "api_url" not in given:
        source = next((name for name in _PAIRS if name in found), source)
        url = _required(found, source, or_="OPENAI_BASE_URL")
    if "api_key" in given:
        return url, None
    name = _PAIRS[source]
    if name not in found:
        others = [other for other in _PAIRS.values() if other in found]
        goes = "api_url" if url is None else source
        raise ConfigurationError(
            f"the environment variable {name} is not set; it has the key for {goes}"
            + (f" ({others[0]} is set, but only sent to its own URL)" if others else "")
            + f". Set {name} (for a server without a key to any text, such as none), or give api_key"
        )
    return url, found[name]


def _required(found: Mapping[str, str], name: str, *, or_: str = "") -> str:
    if name in found:
        return found[name]
    alternative = f" (or {or_})" if or_ else ""
    raise ConfigurationError(
        f"the environment variable {name}{alternative} is not set; set it, or copy .env.example to .env, fill it in and "
        "load it"
    )


def _number(found: Mapping[str, str], name: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(found[name]) if name in found else None
    except ValueError:
        raise ConfigurationError(f"the environment variable {name} must be a number, not {found[name]!r}") from None
