"""The address of an endpoint and its key: checked, and shown without secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from tframex.errors import ConfigurationError

__all__ = ["check_api_key", "display_url", "normalize_url"]

_VERSION = re.compile(r"/v\d+\w*(/|$)")


def normalize_url(api_url: object) -> str:
    """The base URL of the API; `/v1` is added if it has no version."""
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
    """The URL without its parts that may be secret: user, password, query."""
    # A password may contain a slash, and an invalid URL may have no scheme.
    scheme, separator, rest = url.rpartition("://")
    if "@" in rest:
        rest = f"***@{rest.rpartition('@')[2]}"
    return re.sub(r"[?#].*", "?***", f"{scheme}{separator}{rest}")


def check_api_key(api_key: object) -> str:
    """Refuse a key that is missing or that HTTP cannot carry, and return it without white space around it."""
    if not isinstance(api_key, str) or not api_key.strip():
        raise ConfigurationError("api_key is missing; for a server without a key give any text, such as 'none'")
    if not api_key.strip().isascii() or not api_key.strip().isprintable():
        raise ConfigurationError("api_key has characters that no HTTP header can carry; copy it again")
    return api_key.strip()
