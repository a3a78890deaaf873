"""The model behind a vLLM server, or any other OpenAI-compatible chat endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tframex._address import check_api_key, display_url, normalize_url
from tframex._checks import check_count, check_interval
from tframex._types import ReasoningMode, ResumeMode
from tframex.errors import ConfigurationError
from tframex.exchange import ModelEntry, check_headers, hide_arguments
from tframex.model._connection import Connector
from tframex.model._environment import read_env
from tframex.model._exchange_model import ExchangeModel
from tframex.model._settings import Settings

if TYPE_CHECKING:
    import httpx2
    import openai
    from typing_extensions import Self

    from tframex.local import LocalServer

__all__ = ["VLLMModel"]


class VLLMModel(ExchangeModel):
    """A chat model served by vLLM, llama.cpp, or any other server with OpenAI's Chat Completions API.

    Every request is streamed, also for `call`, so that no proxy gives up on a long answer. Options of a call go to the
    endpoint as they are: OpenAI's own by name, and vLLM's (`top_k`, `min_p`, `repetition_penalty`,
    `structured_outputs`, ...) as well. The keywords from `reasoning` to `interval` may be given to a call, too, and
    apply to that call.

    A model belongs to one event loop at a time. After that loop has ended it works in the next one.

    Args:
        model_name: The name the server serves it under, as listed by `/v1/models`.
        api_url: Where the API is, with or without `/v1`.
        api_key: The key; any text for a server without one.
        default_max_tokens: Tokens an answer may have, unless a call says otherwise. None: the endpoint's own limit.
        default_temperature: Sampling temperature, unless a call says otherwise. None: the endpoint's own.
        reasoning: Where reasoning text goes that the server sends apart from the answer: `"inline"`, into the text
            between `<think>` and `</think>`; `"separate"`, to `Completion.reasoning`; `"drop"`, nowhere. A `<think>`
            inside the answer itself is never changed.
        connect_timeout: Seconds to connect.
        first_token_timeout: Seconds from sending the request to the first event of the answer, including the time in the
            server's queue.
        idle_timeout: Seconds between two events; keep-alive comments are not events.
        total_timeout: Seconds for the complete call; None is no limit.
        max_retries: How many requests in a row may fail without adding to the answer (fewer than 8 tokens do not count).
        resume: `"auto"` continues an answer that broke off; `"never"` raises `StreamInterruptedError`.
        max_repeats: Stop an answer that repeats the same passage this many times in a row: it ends before the second time,
            with the `finish_reason` `"repetition"`, and the server stops generating. None lets it loop; 4 is a good value.
        interval: Seconds between two pieces of a stream: text that arrives meanwhile is one piece. 0 is every token
            immediately; 0.05 is what a screen can show, for a fraction of the cost of 0.
        max_concurrency: Calls in flight concurrently; further ones wait. None is no limit.
        context_window: Tokens that prompt and answer may have together, where you know it.
        default_headers: Headers for every request.
        http_client: An `httpx2` or `httpx` async client to use instead of our own; you close it.

    Raises:
        ConfigurationError: An argument is missing or wrong.
    """

    @hide_arguments
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
        interval: float = 0.0,
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
        for name, value in (
            ("default_max_tokens", default_max_tokens),
            ("max_concurrency", max_concurrency),
            ("context_window", context_window),
        ):
            if value is not None:
                check_count(name, value)
        settings = Settings(
            connect_timeout=connect_timeout,
            first_token_timeout=first_token_timeout,
            idle_timeout=idle_timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            resume=resume,
            reasoning=reasoning,
            max_repeats=max_repeats,
            interval=check_interval(interval),
        )
        if default_headers is not None:
            check_headers("default_headers", default_headers)
        if http_client is not None and not hasattr(http_client, "aclose"):
            raise ConfigurationError(
                f"http_client must be an asynchronous client (httpx2.AsyncClient or httpx.AsyncClient), also for "
                f"tframex.sync, not {type(http_client).__name__}"
            )
        connector = Connector(
            model_name.strip(),
            normalize_url(api_url),
            check_api_key(api_key),
            connect_timeout=connect_timeout,
            max_connections=max_concurrency,
            default_headers=default_headers,
            http_client=http_client,
        )
        super().__init__(model_name.strip(), connector, settings)
        self.default_temperature = default_temperature
        self.default_max_tokens = default_max_tokens
        self.max_concurrency = max_concurrency
        self.context_window = context_window

    @property
    def api_url(self) -> str:
        """Where the API is; that of a local model is known when its server has started."""
        return self._connector.url

    @property
    def model_name(self) -> str:
        """The name the server serves the model under."""
        return self.model_id

    async def models(self) -> list[ModelEntry]:
        """Every model that the endpoint lists at `/v1/models`, in its order; asked each time.

        This model need not be one of them, so that any `model_name` will do to find out what is served.

        Raises:
            ModelError: The endpoint could not be reached, or refused.
        """
        return await self._lookup.models()

    @classmethod
    @hide_arguments
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """A model from `API_URL`, `API_KEY`, `MODEL_NAME` and, if set, `MAX_TOKENS` and `TEMPERATURE`.

        Where `API_URL` is not set, the pair `OPENAI_BASE_URL` and `OPENAI_API_KEY` is used. A key is only sent to its
        pair's URL, and `API_KEY` to a URL given as `api_url`. No `.env` file is read.

        Args:
            environ: The variables; `os.environ` by default.
            **settings: Arguments of the constructor; they take precedence over the environment.

        Raises:
            ConfigurationError: A variable is missing or not a number.
        """
        return cls(**{**read_env(environ, settings), **settings})

    @classmethod
    @hide_arguments
    def from_client(cls, openai_client: openai.AsyncOpenAI | openai.OpenAI, model_name: str, **settings: Any) -> Self:
        """A model that sends its requests with an official client or an instance of a subclass.

        The client keeps its URL, key, headers and HTTP transport, and you close it; its retries are replaced by ours. From
        a synchronous client, an asynchronous one with the same settings is made.

        Args:
            openai_client: The client.
            model_name: The name the server serves the model under.
            **settings: Keyword arguments of the constructor, except `default_headers` and `http_client`.

        Raises:
            ConfigurationError: It is not an official client, or a synchronous one that cannot be translated.
        """
        from tframex.model._official import asynchronous

        for name in ("default_headers", "http_client"):
            if name in settings:
                raise ConfigurationError(f"{name} is a setting of the client: give it to the official client")
        url = str(getattr(openai_client, "base_url", "http://unknown"))
        model = cls(model_name, url, getattr(openai_client, "api_key", "") or "none", **settings)
        model._connector.url = url.rstrip("/")
        model._connector.official = asynchronous(openai_client, model.max_concurrency)
        return model

    @classmethod
    @hide_arguments
    def local(cls, model_path: str | None = None, *, server: Mapping[str, Any] | None = None, **settings: Any) -> Self:
        """A model on this machine, served by an embedded llama.cpp that runs as long as the model is open.

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
        model._connector.server = local
        model.context_window = model.context_window or local.context_window

        # No closure: the model can be pickled.
        model._connector.moved = partial(model._moved, local, "context_window" not in settings)
        return model

    def _moved(self, local: LocalServer, window_follows: bool) -> None:
        self._lookup.served.forget()
        if window_follows:
            self.context_window = local.context_window

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id!r}, {display_url(self.api_url)!r})"
