"""Taking keys and passwords out of errors."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from tframex.exchange._chain import links

__all__ = ["Secrets", "hide_arguments", "hide_values"]

F = TypeVar("F", bound=Callable[..., Any])

# A shorter value ("none", "x") is no secret, and would be found in unrelated words.
_LEAST = 8
# Headers and parameters whose values are secret.
_SECRET = re.compile(r"auth|key|token|secret|password|cookie|credential|signature", re.IGNORECASE)
# It names a request: it opens nothing, and a second try needs it.
_HARMLESS = "idempotency-key"
_SHOWN = "***"


class _Hidden(dict[str, Any]):
    """Headers whose `repr` shows only their names: some error reports show the local variables of every frame."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, _SHOWN))


def hide_values(options: dict[str, Any]) -> None:
    """Replace the headers and parameters among the options of a call by copies whose values no error report shows."""
    for name in ("extra_headers", "extra_query"):
        if isinstance(values := options.get(name), Mapping) and not isinstance(values, _Hidden):
            options[name] = _Hidden(values)


def hide_arguments(function: F) -> F:
    """Make a function that takes a key leave none in its frames: some error reports show their local variables."""

    @wraps(function)
    def hiding(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            args, kwargs = (), {}
            for link in links(exc):
                traceback.clear_frames(link.__traceback__)
            raise

    return cast(F, hiding)


class Secrets:
    """What an error must not show, although a server or an HTTP library may echo it.

    Args:
        values: The secrets; short ones are left out.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        # The longest first: one secret may be part of another.
        self._values = tuple(sorted({value for value in values if len(value) >= _LEAST}, key=len, reverse=True))

    @classmethod
    def of(cls, key: str = "", url: str = "", *named: Mapping[str, Any] | None) -> Secrets:
        """The secrets in a key, a URL, and headers and parameters whose names suggest secrets."""
        values = [key]
        with suppress(ValueError):
            parts = urlsplit(url)
            if parts.password:
                password = unquote(parts.password)
                login = f"{unquote(parts.username or '')}:{password}".encode()
                values += [parts.password, password, base64.b64encode(login).decode()]
        for mapping in named:
            for name, value in mapping.items() if isinstance(mapping, Mapping) else ():
                text = value.decode("latin-1") if isinstance(value, bytes) else value
                if isinstance(text, str) and _SECRET.search(str(name)) and str(name).lower() != _HARMLESS:
                    # "Bearer KEY", "Basic LOGIN"
                    values += [text, text.partition(" ")[2]]
        return cls(values)

    def and_those_of(self, *named: Mapping[str, Any] | None) -> Secrets:
        """These secrets and those in further headers and parameters."""
        if not any(named):
            return self
        more = Secrets.of("", "", *named)
        return Secrets((*self._values, *more._values)) if more._values else self

    def hide(self, text: str) -> str:
        """The text with the secrets replaced."""
        for value in self._values:
            text = text.replace(value, _SHOWN)
        return text

    def clean(self, error: BaseException) -> None:
        """Take the secrets out of an error and all that caused it: texts, bodies, requests, local variables of frames."""
        for link in links(error):
            # The frames of the HTTP library hold headers and bodies, which error reports with local variables would show.
            # Their line numbers are kept.
            traceback.clear_frames(link.__traceback__)
            if self._values:
                self._clean_one(link)

    def _clean_one(self, link: BaseException) -> None:
        cleaned = tuple(self._without(arg) for arg in link.args)
        if any(new is not old for new, old in zip(cleaned, link.args, strict=True)):
            link.args = cleaned
        if isinstance(link, OSError) and isinstance(link.strerror, str):
            link.strerror = self.hide(link.strerror)
        for name, value in list(getattr(link, "__dict__", {}).items()):
            cleaned_value = self._without(value)
            if cleaned_value is not value:
                with suppress(AttributeError, TypeError):
                    setattr(link, name, cleaned_value)
        # httpx has the request in a property.
        for name in ("request", "response"):
            with suppress(Exception):
                self._without(getattr(link, name))

    def _without(self, value: Any) -> Any:
        """The value without secrets; the same object if it contains none."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            hidden = self.hide(value)
            return value if hidden == value else hidden
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            hidden = self.hide(text)
            return value if hidden == text else hidden.encode("latin-1")
        if type(value) is dict:
            return self._same_or(value, {self._without(key): self._without(item) for key, item in value.items()})
        if type(value) in (list, tuple):
            return self._same_or(value, type(value)(self._without(item) for item in value))
        return self._without_object(value)

    @staticmethod
    def _same_or(value: Any, cleaned: Any) -> Any:
        return value if value == cleaned else cleaned

    def _without_object(self, value: Any) -> Any:
        """Requests and responses are kept, without secret headers; anything else with a secret becomes its `repr`."""
        self._clean_message(value)
        with suppress(Exception):
            shown = repr(value)
            hidden = self.hide(shown)
            if hidden != shown:
                return hidden
        return value

    def _clean_message(self, message: Any) -> None:
        one: Any
        for one in (message, getattr(message, "__dict__", {}).get("_request")):
            headers: Any = getattr(one, "headers", None)
            for name in list(headers if isinstance(headers, Mapping) else ()):
                with suppress(Exception):
                    value = headers[name]
                    if self.hide(value) != value:
                        headers[name] = self.hide(value)
            url = getattr(one, "url", None)
            if url is not None and self.hide(str(url)) != str(url):
                with suppress(Exception):
                    one.url = type(url)(self.hide(str(url)))

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"
