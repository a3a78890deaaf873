"""`tframex.agents` without `await`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from tframex import agents as _agents
from tframex import model as _model
from tframex._types import Message, Messages
from tframex.agents import Reader
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.model import Completion, Output
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors, unwrap
from tframex.sync.model import BaseModel
from tframex.sync.tools import plain
from tframex.tools import Tool, Toolset

__all__ = ["BaseAgent", "BasicAgent", "ContextAgent", "ToolAgent"]

T = TypeVar("T")


@mirrors(_agents.BaseAgent)
class BaseAgent(Facade):
    _async: _agents.BaseAgent

    @property
    def agent_id(self) -> str:
        return self._async.agent_id

    @property
    def model(self) -> BaseModel:
        from tframex.sync import blocking

        return blocking(self._async.model)

    def run(self, prompt: str, **options: Any) -> str:
        hide_values(options)
        return _bridge.run(lambda: self._async.run(prompt, **options))

    def events(self, prompt: str, **options: Any) -> Generator[Event, None, None]:
        return _bridge.iterate(lambda: self._async.events(prompt, **options))

    @overload
    def stream(
        self, prompt: str, *, output_type: type[T] | Output[T], **options: Any
    ) -> Generator[T | Any, None, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: None = None, **options: Any) -> Generator[str, None, None]: ...
    @overload
    def stream(self, prompt: str, *, output_type: Any, **options: Any) -> Generator[Any, None, None]: ...
    def stream(self, prompt: str, *, output_type: Any = None, **options: Any) -> Generator[Any, None, None]:
        return _bridge.iterate(lambda: self._async.stream(prompt, output_type=output_type, **options))

    def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        hide_values(options)
        return _bridge.run(lambda: self._async.complete(prompt, output_type=output_type, **options))

    def stream_to_file(self, prompt: str, path: str | Path, *, output_type: Any = None, **options: Any) -> Completion:
        hide_values(options)
        return _bridge.run(lambda: self._async.stream_to_file(prompt, path, output_type=output_type, **options))


@mirrors(_agents.BasicAgent)
class BasicAgent(BaseAgent):
    _async: _agents.BasicAgent

    def __init__(self, agent_id: str, model: BaseModel, *, system_prompt: str | None = None) -> None:
        self._async = _agents.BasicAgent(
            agent_id, unwrap(model, _model.BaseModel, "model"), system_prompt=system_prompt
        )

    @overload
    def run(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    def run(self, prompt: str, *, output_type: None = None, **options: Any) -> str: ...
    @overload
    def run(self, prompt: str, *, output_type: Any, **options: Any) -> Any: ...
    def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        hide_values(options)
        return _bridge.run(lambda: self._async.run(prompt, output_type=output_type, **options))

    def events(
        self,
        prompt: str,
        *,
        restart: bool = False,
        history: list[Message] | None = None,
        output_type: Any = None,
        **options: Any,
    ) -> Generator[Event, None, None]:
        asked: Any = {"restart": restart, "history": history, "output_type": output_type}
        return _bridge.iterate(lambda: self._async.events(prompt, **asked, **options))

    def build_messages(self, prompt: str) -> list[Message]:
        return self._async.build_messages(prompt)

    def build_conversation(self, prompt: str, history: Messages) -> list[Message]:
        return self._async.build_conversation(prompt, history)


@mirrors(_agents.ContextAgent)
class ContextAgent(BasicAgent):
    _async: _agents.ContextAgent

    def __init__(self, agent_id: str, model: BaseModel, context: str, *, system_prompt: str | None = None) -> None:
        self._async = _agents.ContextAgent(
            agent_id, unwrap(model, _model.BaseModel, "model"), context, system_prompt=system_prompt
        )


@mirrors(_agents.ToolAgent)
class ToolAgent(BaseAgent):
    _async: _agents.ToolAgent

    def __init__(
        self,
        agent_id: str,
        model: BaseModel,
        tools: Toolset | Iterable[Tool[..., Any] | Callable[..., Any] | Toolset],
        *,
        system_prompt: str | None = None,
        output_type: Any = None,
        max_steps: int = 20,
        max_tool_calls: int | None = None,
        max_run_tokens: int | None = None,
        max_seconds: float | None = None,
        max_output_retries: int = 2,
        reader: Reader | None = None,
    ) -> None:
        self._async = _agents.ToolAgent(
            agent_id,
            unwrap(model, _model.BaseModel, "model"),
            plain(tools),
            system_prompt=system_prompt,
            output_type=output_type,
            max_steps=max_steps,
            max_tool_calls=max_tool_calls,
            max_run_tokens=max_run_tokens,
            max_seconds=max_seconds,
            max_output_retries=max_output_retries,
            reader=reader._async if isinstance(reader, Facade) else reader,
        )

    def events(
        self,
        prompt: str,
        *,
        restart: bool = False,
        shown: bool | None = None,
        history: list[Message] | None = None,
        deps: Any = None,
        output_type: Any = None,
        tool_choice: str | Sequence[str] = "auto",
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[Event, None, None]:
        asked: Any = {"restart": restart, "shown": shown, "history": history, "deps": deps, "checkpoint": checkpoint}
        asked["output_type"] = output_type
        return _bridge.iterate(lambda: self._async.events(prompt, tool_choice=tool_choice, **asked, **options))

    @overload
    def run(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any: ...
    def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        hide_values(options)
        return _bridge.run(lambda: self._async.run(prompt, output_type=output_type, **options))
