"""The official client as a model uses it: the same requests for a fraction of the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import openai

from tframex.exchange._request_template import build_request

__all__ = ["AsyncOpenAI"]


class AsyncOpenAI(openai.AsyncOpenAI):
    """An official client whose requests are made from earlier ones; its name is in the `User-Agent` of each."""

    async def post(
        self, path: str, *, cast_to: Any, body: Any = None, options: Any = MappingProxyType({}), **more: Any
    ) -> Any:
        """Send a request, as the official `post` does.

        That makes the options of a request with pydantic, which copies every default deeply, a tenth of a short call.
        """
        default = _default_options()
        given = {name: _given(value) for name, value in options.items()}
        if default is None or not more.keys() <= {"stream", "stream_cls"} or not given.keys() <= vars(default).keys():
            return await super().post(path, cast_to=cast_to, body=body, options=options, **more)
        made = default.model_copy(update={"params": {}, **given, "method": "post", "url": path, "json_data": body})
        return await self.request(cast_to, made, **more)

    def _idempotency_key(self) -> str:
        # It is made for each request, from random bytes, and sent by clients that have a header for it.
        return super()._idempotency_key() if self._idempotency_header else ""

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> Any:
        return build_request(self, super()._build_request, options, retries_taken)


@cache
def _default_options() -> Any:
    """The official options of a request, all of them by default; None if they are made in another way."""
    try:
        from openai._models import FinalRequestOptions

        return FinalRequestOptions.construct(method="post", url="")
    except (ImportError, AttributeError, TypeError):
        return None


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: item for name, item in value.items() if not isinstance(item, openai.NotGiven)}
    return value
