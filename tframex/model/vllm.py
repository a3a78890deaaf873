"""The model behind a vLLM server, or any other OpenAI-compatible chat endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tframex._checks import check_count
from tframex._types import Messages, ReasoningMode, ResumeMode
from tframex.completion import Completion, Delta
from tframex.errors import ConfigurationError, WrongLoopError
from tframex.events import CallStarted, Event, RunFinished
from tframex.exchange import ChatRequest, Endpoint, Exchange, RetryBudget
from tframex.model._assembly import Assembly
from tframex.model._call_record import is_recording, note_call
from tframex.model._connection import Connection
from tframex.model._knowledge import Knowledge
from tframex.model._model_call import ModelCall
from tframex.model._settings import (
    Settings,
    check_api_key,
    check_messages,
    display_url,
    normalize_url,
    read_env,
)
from tframex.model.base import BaseModel
from tframex.tasks import Closing, LoopBound

if TYPE_CHECKING:
    import httpx2
    import openai
    from typing_extensions import Self

    from tframex.local import LocalServer

__all__ = ["VLLMModel"]


class VLLMModel(BaseModel):
    """A chat model served by vLLM, llama.cpp, or anything else that speaks OpenAI's Chat Completions API.

    Every request is streamed, also for `call`, so that no proxy gives up on a long answer. Options of a call go to the
    endpoint as they are: OpenAI's own by name, and vLLM's (`top_k`, `min_p`, `repetition_penalty`,
    `structured_outputs`, ...) as well. The keywords from `reasoning` to `resume` may be given to a call too, and hold
    for that call.

    A model lives on one event loop at a time. After that loop has ended it simply works in the next.

    Args:
        model_name: The name the server serves it under, as listed by `/v1/models`.
        api_url: Where the API is, with or without `/v1`.
        api_key: The key; any text for a server without one.
        default_max_tokens: Tokens an answer may have, unless a call says otherwise. None: the endpoint's own limit.
        default_temperature: Sampling temperature, unless a call says otherwise. None: the endpoint's own.
        reasoning: Where reasoning text goes that the server sends apart from the answer: `"inline"`, into the text
            between `<think>` and `</think>`; `"separate"`, to `Completion.reasoning`; `"drop"`, nowhere. A `<think>`
            inside the answer itself is never touched.
        connect_timeout: Seconds to connect.
        first_token_timeout: Seconds from sending the request to the first event of the answer, waiting in the server's
            queue included.
        idle_timeout: Seconds between two events; keep-alive comments are not events.
        total_timeout: Seconds for the whole call; None is no limit.
        max_retries: How many requests in a row may fail without bringing any part of the answer.
        resume: `"auto"` continues an answer that broke off; `"never"` raises `StreamInterruptedError`.
        max_repeats: Stop an answer that says the same passage this many times in a row: it ends before the second time,
            with the `finish_reason` `"repetition"`, and the server stops generating. None lets it loop; 4 is a good value.
        max_concurrency: Calls in flight at once; further ones wait. None is no limit.
        context_window: Tokens that prompt and answer may have together, where you know it.
        default_headers: Headers for every request.
        http_client: An `httpx2` or `httpx` async client to use instead of our own; it stays yours to close.

    Raises:
        ConfigurationError: An argument is missing or wrong.
    """

    def __init__(
        self,
        model_name: str,
        api_url: str,
        api_key: str,
        default_max_tokens: int | None = 1024,
        default_temperature: float | None = 0.7,
        *,
        reasoning: ReasoningMode = "inline",
        connect_timeout: float | None = 10.0,
        first_token_timeout: float | None = 600.0,
        idle_timeout: float | None = 60.0,
        total_timeout: float | None = None,
        max_retries: int = 2,
        resume: ResumeMode = "auto",
        max_repeats: int | None = None,
        max_concurrency: int | None = None,
        context_window: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        if not isinstance(model_name, str) or not model_name.strip():
            raise ConfigurationError(
                f"model_name must be the name the server serves the model under, not {model_name!r}; "
                "GET /v1/models lists the names"
            )
        super().__init__(model_name.strip())
        self.api_url = normalize_url(api_url)
        self.default_temperature = default_temperature
        for name, value in (
            ("default_max_tokens", default_max_tokens),
            ("max_concurrency", max_concurrency),
            ("context_window", context_window),
        ):
            if value is not None:
                check_count(name, value)
        self.default_max_tokens = default_max_tokens
        self.max_concurrency = max_concurrency
        self.context_window = context_window
        self._settings = Settings(
            connect_timeout=connect_timeout,
            first_token_timeout=first_token_timeout,
            idle_timeout=idle_timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            resume=resume,
            reasoning=reasoning,
            max_repeats=max_repeats,
        )
        self._api_key = check_api_key(api_key)
        if http_client is not None and not hasattr(http_client, "aclose"):
            raise ConfigurationError(
                f"http_client must be an asynchronous client (httpx2.AsyncClient or httpx.AsyncClient), also for "
                f"tframex.sync, not {type(http_client).__name__}"
            )
        self._default_headers = default_headers
        self._http_client = http_client
        self._official: tuple[Callable[[], openai.AsyncOpenAI], bool] | None = None
        self._server: LocalServer | None = None
        self._own_window = False
        self._knowledge = Knowledge(self.model_id, self._connected)
        self._budget = RetryBudget()
        self._connection = LoopBound(self._connect, Connection.aclose)

    @property
    def model_name(self) -> str:
        """The name the server serves the model under."""
        return self.model_id

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """A model from `API_URL`, `API_KEY`, `MODEL_NAME` and, if set, `MAX_TOKENS` and `TEMPERATURE`.

        `OPENAI_BASE_URL` and `OPENAI_API_KEY` serve where the first two are not set. No `.env` file is read.

        Args:
            environ: The variables; `os.environ` by default.
            **settings: Arguments of the constructor; they go before the environment.

        Raises:
            ConfigurationError: A variable is missing or not a number.
        """
        return cls(**{**read_env(environ, settings), **settings})

    @classmethod
    def from_client(cls, openai_client: openai.AsyncOpenAI | openai.OpenAI, model_name: str, **settings: Any) -> Self:
        """A model that sends its requests with an official client, its own or one of its subclasses.

        The client keeps its URL, key, headers and HTTP transport and stays yours to close; its retries are replaced by
        ours. A synchronous client lends its settings to an asynchronous one.

        Args:
            openai_client: The client.
            model_name: The name the server serves the model under.
            **settings: Keyword arguments of the constructor, except `default_headers` and `http_client`.

        Raises:
            ConfigurationError: It is no official client, or a synchronous one that cannot be translated.
        """
        from tframex.model._official import asynchronous

        for name in ("default_headers", "http_client"):
            if name in settings:
                raise ConfigurationError(f"{name} is a setting of the client: give it to the official client")
        url = str(getattr(openai_client, "base_url", "http://unknown"))
        model = cls(model_name, url, getattr(openai_client, "api_key", "") or "none", **settings)
        model.api_url = url.rstrip("/")
        model._official = asynchronous(openai_client, model.max_concurrency)
        return model

    @classmethod
    def local(cls, model_path: str | None = None, *, server: Mapping[str, Any] | None = None, **settings: Any) -> Self:
        """A model on this machine, served by an embedded llama.cpp that lives as long as the model is open.

        It is started at the first call and stopped by `close_client` or the end of an `async with` block.

        Args:
            model_path: A GGUF file. None: the small default model.
            server: Arguments of `tframex.LocalServer`, such as `{"context_window": 8192}`.
            **settings: Keyword arguments of the constructor.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        from tframex.local import LocalServer

        local = LocalServer(model_path, **(server or {}))
        model = cls(local.model_name, "http://127.0.0.1", local.api_key or "none", **settings)
        model._server = local
        model.context_window = model.context_window or local.context_window
        model._own_window = "context_window" not in settings
        return model

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        """The text of the answer, piece by piece, as the server generates it.

        Leaving the loop early closes the connection, and the server stops generating; use `contextlib.aclosing` where
        you `break`, so that it happens at once.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be had, or not wholly; `partial` has the text so far.
        """
        if options.get("n") not in (None, 1):
            raise ConfigurationError(f"call_stream gives one text; for n={options['n']} use stream or call")
        call = self._call(messages, options, restartable=False)
        async with Closing(call.batches(await self._connected())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    if isinstance(delta, str):
                        yield delta
                    elif delta.content:
                        yield delta.content
        if is_recording():
            note_call(call.completion())

    async def events(self, messages: Messages, *, restart: bool = False, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete: `CallStarted`, its pieces as they arrive, `RunFinished` at the end.

        Retries and continuations are events too. `RunFinished.result` is the `Completion`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            restart: An answer that breaks off and cannot be continued may be asked for again from its start. The pieces
                received until then are void: `CallRetried.dropped` says so. For those who show the pieces to nobody.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=restart)
        yield CallStarted(model_id=self.model_id)
        async with Closing(call.events(await self._connected())) as batches:
            async for events in batches:
                for event in events:
                    yield event
        completion = call.completion()
        note_call(completion)
        yield RunFinished(completion)

    async def stream(self, messages: Messages, **options: Any) -> AsyncGenerator[Delta | Completion, None]:
        """The answer piece by piece, then the whole `Completion` as the last item.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be had, or not wholly; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=False)
        async with Closing(call.batches(await self._connected())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    async def call(self, messages: Messages, **options: Any) -> Completion:
        """The whole answer, with its usage and how it came about.

        Since nobody sees the text before it is whole, an answer that breaks off and cannot be continued is asked for
        again from the start, within `max_retries`.

        Args:
            messages: The conversation, as the Chat Completions API takes it.
            **options: Options of the API, or settings of the constructor for this call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be had, or not wholly; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=True)
        async with Closing(call.batches(await self._connected())) as batches:
            async for _ in batches:
                pass
        completion = call.completion()
        note_call(completion)
        return completion

    async def continues(self, options: dict[str, Any]) -> bool:
        """Whether `stream_after` can continue a partial answer to a request with these options.

        Not with `resume="never"`, nor with tools, a grammar or `n` above 1; else it depends on the endpoint, which is asked
        once.

        Args:
            options: The options of the call.
        """
        request = ChatRequest.build(self.model_id, [], options)
        if not request.spliceable or self._settings.override(dict(options)).resume != "auto":
            return False
        return await self._knowledge.continues()

    async def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncGenerator[Delta | Completion, None]:
        """As `stream`, for an answer of which an earlier run has received `partial`; that is the first piece.

        Args:
            messages: The conversation.
            partial: The beginning of the answer.
            tokens: How many tokens (events of the stream) it took; `max_tokens` is reduced by it.
            **options: The options of the call.

        Raises:
            ConfigurationError: The messages or an option are wrong; nothing was sent.
            ModelError: The answer could not be received, or not completely; `partial` has the text so far.
        """
        call = self._call(messages, options, restartable=False)
        call.begin_with(partial, tokens)
        yield Delta(partial)
        async with Closing(call.batches(await self._connected())) as batches:
            async for deltas in batches:
                for delta in deltas:
                    yield Delta(delta) if isinstance(delta, str) else delta
        completion = call.completion()
        note_call(completion)
        yield completion

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together.

        That is `context_window`, if you gave it; else what the endpoint says (asked once, at `/v1/models` and llama.cpp's
        `/props`, or taken from its refusal of a prompt that was too long); else None.

        Raises:
            ModelConnectionError: The endpoint could not be reached.
        """
        return self.context_window or await self._knowledge.window()

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long; `context_window` takes precedence over it.

        Args:
            window: Tokens that prompt and answer may have together.
        """
        if self.context_window is None:
            self._knowledge.note_window(window)

    async def count_tokens(self, what: str | Messages) -> int | None:
        """Tokens of a text or a conversation, counted by vLLM or llama.cpp; None if the endpoint does not count.

        Args:
            what: A text, or a conversation with what the chat template adds to it.

        Raises:
            ModelError: The endpoint could not be reached, or is busy.
        """
        return await self._knowledge.count(what)

    async def close_client(self) -> None:
        """Close the connections. The model can be used again afterwards."""
        await self._connection.aclose()
        if self._server is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._server.stop)

    def _call(self, messages: Messages, options: dict[str, Any], *, restartable: bool) -> ModelCall:
        check_messages(messages)
        options = dict(options)
        settings = self._settings.override(options)
        if "stream" in options:
            raise ConfigurationError("stream is not an option: call returns the whole answer, call_stream its pieces")
        if options.get("n") is not None:
            check_count("n", options["n"])
        model = options.pop("model", self.model_id)
        if "max_completion_tokens" not in options:
            options.setdefault("max_tokens", self.default_max_tokens)
        options.setdefault("temperature", self.default_temperature)
        options["stream_options"] = {"include_usage": True, **(options.get("stream_options") or {})}
        # An official client of the user's has a timeout of its own.
        connecting = Settings.connect_timeout if self._official else self._settings.connect_timeout
        if settings.connect_timeout != connecting and "timeout" not in options:
            options["timeout"] = _timeout(settings)
        exchange = Exchange(
            ChatRequest.build(model, messages, {name: value for name, value in options.items() if value is not None}),
            abilities=self._knowledge.abilities,
            budget=self._budget,
            model_id=self.model_id,
            max_retries=settings.max_retries,
            resume=settings.resume,
            restartable=restartable,
            limit=self.limit,
        )
        # One of several answers that loops must not end the others.
        repeats = settings.max_repeats if options.get("n") in (None, 1) else None
        return ModelCall(exchange, Assembly(settings.reasoning), settings.clocks, self.model_id, self.limit, repeats)

    async def _connected(self) -> Connection:
        if self._server is not None:
            await self._start(self._server)
        connection = await self._connection.get()
        if connection is None:
            raise WrongLoopError(
                f"model {self.model_id!r} is in use on another event loop that is still alive. One model object "
                "belongs to one loop at a time: make one for each loop, or use tframex.sync from threads.",
                model_id=self.model_id,
            )
        return connection

    async def _start(self, server: LocalServer) -> None:
        await anyio.to_thread.run_sync(server.start)
        if self.api_url != server.url:
            await self._connection.aclose()
            self.api_url = server.url
            self._knowledge.forget()
            if self._own_window:
                self.context_window = server.context_window

    def _connect(self) -> Connection:
        from tframex.exchange.transport import make_async_client

        if self._official is not None:
            make, owned = self._official
            client = make()
        else:
            owned = self._http_client is None
            client = make_async_client(
                base_url=self.api_url,
                api_key=self._api_key,
                timeout=_timeout(self._settings),
                max_connections=self.max_concurrency,
                default_headers=self._default_headers,
                http_client=self._http_client,
                # A proxy of the environment is not the way to this machine.
                trust_env=self._server is None,
            )
        endpoint = Endpoint(client, self.model_id, display_url(self.api_url), self._api_key)
        return Connection(endpoint, owned=owned)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r}, {display_url(self.api_url)!r})"


def _timeout(settings: Settings) -> openai.Timeout:
    """What the transport may decide by itself; how long an answer may take is the read clock's business."""
    import openai

    return openai.Timeout(None, connect=settings.connect_timeout)
