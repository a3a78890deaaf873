"""Drop-in replacements for `openai.OpenAI` and `openai.AsyncOpenAI`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import httpx2
import openai

from tframex._types import ResumeMode
from tframex.client._shared import Shared
from tframex.client._streams import AsyncChatStream, ChatStream
from tframex.errors import ConfigurationError
from tframex.exchange.transport import KEEPALIVE_EXPIRY, LoopTransport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncOpenAI", "OpenAI"]


class AsyncOpenAI(openai.AsyncOpenAI):
    """`openai.AsyncOpenAI` with cheap streams that are whole or say so.

    The same constructor, methods and types; everything but streamed chat completions is the official code. Unless you give
    an `http_client`, requests go through aiohttp on asyncio and httpx2 on trio, and the client may be used in one event
    loop after the other.

    Args:
        resume: `"auto"` continues a streamed chat completion that broke off, where the endpoint can (vLLM, llama.cpp);
            `"never"` raises `APIStreamInterruptedError` at once.
        idle_timeout: Seconds between two events of a stream; keep-alive comments do not count. None: only the `timeout` of
            the official client.
        **options: Everything `openai.AsyncOpenAI` takes.
    """

    _tframex: Shared

    def __init__(self, *, resume: ResumeMode = "auto", idle_timeout: float | None = None, **options: Any) -> None:
        self._tframex = options.pop("_shared", None) or Shared(_checked(resume), idle_timeout)
        if options.get("http_client") is None:
            options["http_client"] = openai.DefaultAsyncHttpxClient(transport=LoopTransport(None))
        super().__init__(**options)

    async def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Send a request; a streamed chat completion gets a stream of ours."""
        if stream and options.url == "/chat/completions":
            stream_cls = AsyncChatStream
        return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)

    def copy(self, *, resume: ResumeMode | None = None, _extra_kwargs: Any = None, **options: Any) -> Self:
        """A client with the same settings, except those given; it shares what was learned of the endpoints."""
        shared = self._tframex if resume is None else replace(self._tframex, resume=_checked(resume))
        return super().copy(_extra_kwargs={"_shared": shared, **(_extra_kwargs or {})}, **options)

    with_options = copy


class OpenAI(openai.OpenAI):
    """`openai.OpenAI` with cheap streams that are whole or say so.

    The same constructor, methods and types; everything but streamed chat completions is the official code. Connections are
    used again after a finished stream, which the official client does not do.

    Args:
        resume: `"auto"` continues a streamed chat completion that broke off, where the endpoint can (vLLM, llama.cpp);
            `"never"` raises `APIStreamInterruptedError` at once.
        **options: Everything `openai.OpenAI` takes.
    """

    _tframex: Shared

    def __init__(self, *, resume: ResumeMode = "auto", **options: Any) -> None:
        self._tframex = options.pop("_shared", None) or Shared(_checked(resume))
        self._tframex.own_transport = options.get("http_client") is None or self._tframex.own_transport
        if options.get("http_client") is None:
            limits = httpx2.Limits(
                max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_EXPIRY
            )
            options["http_client"] = openai.DefaultHttpxClient(limits=limits)
        super().__init__(**options)

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Send a request; a streamed chat completion gets a stream of ours."""
        if stream and options.url == "/chat/completions":
            stream_cls = ChatStream
        return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)

    def copy(self, *, resume: ResumeMode | None = None, _extra_kwargs: Any = None, **options: Any) -> Self:
        """A client with the same settings, except those given; it shares what was learned of the endpoints."""
        shared = self._tframex if resume is None else replace(self._tframex, resume=_checked(resume))
        return super().copy(_extra_kwargs={"_shared": shared, **(_extra_kwargs or {})}, **options)

    with_options = copy


def _checked(resume: ResumeMode) -> ResumeMode:
    if resume not in get_args(ResumeMode):
        raise ConfigurationError(f"resume must be one of 'auto', 'never', not {resume!r}")
    return resume
