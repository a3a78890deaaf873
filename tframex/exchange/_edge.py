"""The one place where foreign exceptions (those of the official client and of the HTTP library below it) become
TFrameX's own, and where keys are taken out of errors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tframex._address import display_url
from tframex.errors import ModelConnectionError, ModelError
from tframex.exchange._chain import chain, describe
from tframex.exchange._failures import stream_cut, timed_out
from tframex.exchange._retry import retry_after_seconds
from tframex.exchange._secrets import Secrets
from tframex.exchange._statuses import error_from_body, status_error

__all__ = ["ErrorEdge"]

_Error = TypeVar("_Error", bound=BaseException)
_CONNECTING = {"ConnectTimeout", "ConnectionTimeoutError", "PoolTimeout"}
_READING = {"TimeoutException", "ReadTimeout", "WriteTimeout", "SocketTimeoutError", "ServerTimeoutError"}


@dataclass(frozen=True)
class ErrorEdge:
    """Translates exceptions of one endpoint and takes its secrets out of them.

    Attributes:
        model_id: The served name.
        url: The endpoint's address as errors show it.
        secrets: What is taken out.
    """

    model_id: str
    url: str = ""
    secrets: Secrets = field(default_factory=Secrets)

    @classmethod
    def of(cls, client: Any, model_id: str) -> ErrorEdge:
        """The edge of an official client, async or sync: hides its key, its secret headers and the password in its URL."""
        url = str(client.base_url)
        key = client.api_key if isinstance(client.api_key, str) else ""
        # `default_headers` is a property that would call a callable key.
        headers, query = getattr(client, "_custom_headers", None), getattr(client, "_custom_query", None)
        secrets = Secrets.of(key, url, headers, query)
        return cls(model_id, display_url(url).rstrip("/"), secrets)

    def knowing(self, transport: Mapping[str, Any]) -> ErrorEdge:
        """The edge for a request, which also hides the secrets in its own headers and parameters."""
        secrets = self.secrets.and_those_of(transport.get("extra_headers"), transport.get("extra_query"))
        return self if secrets is self.secrets else replace(self, secrets=secrets)

    def clean(self, error: _Error) -> _Error:
        """The same error, without secrets in it or in anything that caused it."""
        self.secrets.clean(error)
        return error

    def translate(self, exc: Exception) -> ModelError:
        """The `ModelError` for an exception of a request to this endpoint, caused by it."""
        if isinstance(exc, ModelError):
            return self.clean(exc)
        error = self._translated(exc)
        error.__cause__ = exc
        return self.clean(error)

    def _translated(self, exc: Exception) -> ModelError:
        import openai

        if isinstance(exc, openai.APIStatusError):
            after = retry_after_seconds(exc.response.headers)
            return status_error(exc.status_code, exc.body, model_id=self.model_id, url=self.url, retry_after=after)
        names = {type(link).__name__ for link in chain(exc)}
        if isinstance(exc, openai.APIConnectionError):
            if isinstance(exc, openai.APITimeoutError) and _is_timeout(exc, names):
                return timed_out("connect" if names & _CONNECTING else "first_token", model_id=self.model_id)
            return self._no_connection(exc)
        if isinstance(exc, openai.APIError):
            return error_from_body(exc.body or exc.message, model_id=self.model_id)
        if names & _CONNECTING:
            return timed_out("connect", model_id=self.model_id)
        if names & _READING:
            return timed_out("idle", model_id=self.model_id)
        return stream_cut(model_id=self.model_id, why=describe(exc))

    def _no_connection(self, exc: Exception) -> ModelConnectionError:
        proxies = [name for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if os.environ.get(name)]
        proxy = f" The environment sends requests through a proxy ({', '.join(proxies)})." if proxies else ""
        return ModelConnectionError(
            f"no connection to {self.url} ({describe(exc)}). Check API_URL, the network and the firewall, and that the "
            f"server runs.{proxy}",
            model_id=self.model_id,
        )


def _is_timeout(exc: Exception, names: set[str]) -> bool:
    """Whether it was a timeout: the aiohttp transport calls every failure to connect one; the cause is down the chain."""
    through_aiohttp = any(type(link).__module__.startswith("aiohttp") for link in chain(exc))
    return not through_aiohttp or bool(names & {"TimeoutError", "ServerTimeoutError", "SocketTimeoutError"})
