"""`tframex.model` without `await`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex import model as _model
from tframex._types import Messages, ReasoningMode, ResumeMode
from tframex.events import Event
from tframex.exchange import at_call, hide_arguments
from tframex.model import Completion, Delta, ModelEntry, Output
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors, unwrap
from tframex.tasks import AdaptiveLimit
from tframex.tokens import TokenCounter

if TYPE_CHECKING:
    import httpx2
    import openai
    from typing_extensions import Self

__all__ = ["BaseModel", "EndpointCounter", "VLLMModel"]


@mirrors(_model.EndpointCounter)
class EndpointCounter(Facade):
    _async: _model.EndpointCounter

    def __init__(self, model: BaseModel, *, estimate: TokenCounter | None = None) -> None:
        self._async = _model.EndpointCounter(unwrap(model, _model.BaseModel, "model"), estimate=estimate)

    @property
    def exact(self) -> bool:
        return self._async.exact

    @property
    def ratio(self) -> float:
        return self._async.ratio

    @property
    def knows(self) -> bool:
        return self._async.knows

    def count(self, text: str) -> int:
        return self._async.count(text)

    def count_messages(self, messages: Messages) -> int:
        return self._async.count_messages(messages)

    def bound(self, messages: Messages) -> int:
        return self._async.bound(messages)

    def measure(self, messages: Messages, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        return _bridge.run(lambda: self._async.measure(messages, tools))

    def measure_text(self, text: str) -> int:
        return _bridge.run(lambda: self._async.measure_text(text))

    def observe(self, messages: Messages, tokens: int | None) -> None:
        self._async.observe(messages, tokens)

    def state(self) -> list[float]:
        return self._async.state()

    def restore(self, state: list[float]) -> None:
        self._async.restore(state)


@mirrors(_model.BaseModel)
class BaseModel(Facade):
    _async: _model.BaseModel

    @property
    def model_id(self) -> str:
        return self._async.model_id

    @property
    def context_window(self) -> int | None:
        return self._async.context_window

    @property
    def default_max_tokens(self) -> int | None:
        return self._async.default_max_tokens

    @property
    def counter(self) -> EndpointCounter:
        return EndpointCounter._of(self._async.counter)

    @property
    def limit(self) -> AdaptiveLimit:
        return self._async.limit

    def window(self) -> int | None:
        return _bridge.run(self._async.window)

    def note_window(self, window: int) -> None:
        self._async.note_window(window)

    def count_tokens(self, what: str | Messages) -> int | None:
        return _bridge.run(lambda: self._async.count_tokens(what))

    def fit(self, messages: Messages, options: dict[str, Any]) -> dict[str, Any]:
        return _bridge.run(lambda: self._async.fit(messages, options))

    def answer_tokens(self, options: dict[str, Any]) -> int | None:
        return self._async.answer_tokens(options)

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        return self._async.shaping(options)

    def continues(self, options: dict[str, Any]) -> bool:
        return _bridge.run(lambda: self._async.continues(options))

    @at_call
    def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> Generator[Delta | Completion, None, None]:
        return _bridge.iterate(lambda: self._async.stream_after(messages, partial, tokens, **options))

    @at_call
    def events(
        self,
        messages: Messages,
        *,
        restart: bool = False,
        output_type: Any = None,
        max_output_retries: int = 2,
        **options: Any,
    ) -> Generator[Event, None, None]:
        own = {"restart": restart, "output_type": output_type, "max_output_retries": max_output_retries}
        return _bridge.iterate(lambda: self._async.events(messages, **own, **options))

    @at_call
    def act(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]],
        choice: str = "auto",
        output: Output[Any] | None = None,
        restart: bool = False,
        shown: bool | None = None,
        room: int = 1,
        certain: bool = False,
        **options: Any,
    ) -> Generator[Event, None, None]:
        asked: Any = {"tools": tools, "choice": choice, "output": output, "restart": restart, "shown": shown}
        return _bridge.iterate(lambda: self._async.act(messages, room=room, certain=certain, **asked, **options))

    @at_call
    def call_stream(self, messages: Messages, **options: Any) -> Generator[str, None, None]:
        return _bridge.iterate(lambda: self._async.call_stream(messages, **options))

    @at_call
    def stream(
        self, messages: Messages, *, output_type: Any = None, **options: Any
    ) -> Generator[Delta | Completion, None, None]:
        return _bridge.iterate(lambda: self._async.stream(messages, output_type=output_type, **options))

    @at_call
    def call(
        self, messages: Messages, *, output_type: Any = None, max_output_retries: int = 2, **options: Any
    ) -> Completion:
        own = {"output_type": output_type, "max_output_retries": max_output_retries}
        return _bridge.run(lambda: self._async.call(messages, **own, **options))

    def close_client(self) -> None:
        _bridge.run(self._async.close_client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close_client()


@mirrors(_model.VLLMModel)
class VLLMModel(BaseModel):
    _async: _model.VLLMModel

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
        self._async = _model.VLLMModel(
            model_name,
            api_url,
            api_key,
            default_max_tokens,
            default_temperature,
            reasoning=reasoning,
            connect_timeout=connect_timeout,
            first_token_timeout=first_token_timeout,
            idle_timeout=idle_timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            resume=resume,
            max_repeats=max_repeats,
            interval=interval,
            max_concurrency=max_concurrency,
            context_window=context_window,
            default_headers=default_headers,
            http_client=http_client,
        )

    @property
    def api_url(self) -> str:
        return self._async.api_url

    @property
    def model_name(self) -> str:
        return self._async.model_name

    def count_tokens(self, what: str | Messages, *, tools: Sequence[Mapping[str, Any]] = ()) -> int | None:
        return _bridge.run(lambda: self._async.count_tokens(what, tools=tools))

    def models(self) -> list[ModelEntry]:
        return _bridge.run(self._async.models)

    @classmethod
    @hide_arguments
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        return cls._of(_model.VLLMModel.from_env(environ, **settings))

    @classmethod
    @hide_arguments
    def from_client(cls, openai_client: openai.AsyncOpenAI | openai.OpenAI, model_name: str, **settings: Any) -> Self:
        return cls._of(_model.VLLMModel.from_client(openai_client, model_name, **settings))

    @classmethod
    @hide_arguments
    def local(cls, model_path: str | None = None, *, server: Mapping[str, Any] | None = None, **settings: Any) -> Self:
        return cls._of(_model.VLLMModel.local(model_path, server=server, **settings))
