"""Refusing what a request cannot carry, before anything is sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from tframex.errors import ConfigurationError
from tframex.exchange._chain import describe

__all__ = ["check_headers", "check_transport", "not_json", "unsendable"]

# RFC 9110, section 5.6.2.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# The official client's marks for "not given", by name: to recognise them by type, it would have to be imported.
_MARKS = ("NotGiven", "Omit")


def check_headers(name: str, headers: object) -> None:
    """Refuse headers that HTTP cannot carry. Their values are not shown: they may be secret.

    Raises:
        ConfigurationError: They are no mapping, or one of them is wrong.
    """
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{name} must be a mapping of header names to texts, not {type(headers).__name__}")
    for header, value in headers.items():
        if not isinstance(header, str) or not _NAME.fullmatch(header):
            raise ConfigurationError(f"{name} has a name that no HTTP header can have: {header!r}")
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if type(value).__name__ in _MARKS or (isinstance(text, str) and _VALUE.fullmatch(text)):
            continue
        what = (
            "characters that no HTTP header can carry" if isinstance(text, str) else f"the type {type(value).__name__}"
        )
        raise ConfigurationError(f"{name}[{header!r}] has {what}; it must be ASCII text in one line")


def check_transport(transport: Mapping[str, Any]) -> None:
    """Refuse options of the transport that would fail inside it.

    Args:
        transport: Those of `extra_headers`, `extra_query` and `timeout` that are given.

    Raises:
        ConfigurationError: One of them is wrong.
    """
    given = {name: value for name, value in transport.items() if type(value).__name__ not in _MARKS}
    if given.get("extra_headers") is not None:
        check_headers("extra_headers", given["extra_headers"])
    query = given.get("extra_query")
    if query is not None and not isinstance(query, Mapping):
        raise ConfigurationError(f"extra_query must be a mapping of names to values, not {type(query).__name__}")
    limit = given.get("timeout")
    if limit is None or type(limit).__name__ == "Timeout":
        return
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or math.isnan(limit) or limit <= 0:
        raise ConfigurationError(f"timeout must be a number of seconds above 0, or an openai.Timeout, not {limit!r}")


def not_json(exc: BaseException) -> ConfigurationError:
    """The error for messages or options that no request can carry; nothing was sent."""
    if isinstance(exc, UnicodeEncodeError):
        return ConfigurationError(
            f"the messages or an option have text that UTF-8 cannot carry ({exc.reason}: "
            f"{exc.object[exc.start : exc.end]!a}), such as half of a character that was cut in two; leave it out, or "
            "write text.encode('utf-8', 'replace').decode()"
        )
    return ConfigurationError(
        f"the messages or an option cannot be written as JSON ({describe(exc)}); use text, numbers, lists and dicts"
    )


def unsendable(exc: Exception, body: object) -> ConfigurationError | None:
    """The error for a body that no request can carry; None if sending failed for another reason."""
    if isinstance(exc, ConfigurationError) or not isinstance(exc, (TypeError, ValueError, RecursionError)):
        return None
    if "JSON" in str(exc):
        return not_json(exc)
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False, default=str).encode()
    except (TypeError, ValueError, RecursionError) as wrong:
        return not_json(wrong)
    return None
