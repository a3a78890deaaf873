"""`tframex.agents.Conversation` without `await`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tframex import agents as _agents
from tframex._types import Message
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.model import Completion, Output
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors, unwrap
from tframex.sync.agents import BaseAgent

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Conversation"]

T = TypeVar("T")


@mirrors(_agents.Conversation)
class Conversation(Facade):
    _async: _agents.Conversation

    def __init__(self, agent: BaseAgent, path: str | Path | None = None) -> None:
        self._async = _agents.Conversation(unwrap(agent, _agents.BaseAgent, "agent", "agent"), path)

    @property
    def agent(self) -> BaseAgent:
        from tframex.sync import blocking

        return blocking(self._async.agent)

    @property
    def messages(self) -> list[Message]:
        return self._async.messages

    @property
    def turns(self) -> list[list[Message]]:
        return self._async.turns

    @property
    def condensed(self) -> int:
        return self._async.condensed

    @overload
    def say(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    def say(self, prompt: str, *, output_type: None = None, **options: Any) -> str: ...
    @overload
    def say(self, prompt: str, *, output_type: Any, **options: Any) -> Any: ...
    def say(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        hide_values(options)
        return _bridge.run(lambda: self._async.say(prompt, output_type=output_type, **options))

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

    def events(self, prompt: str, **options: Any) -> Generator[Event, None, None]:
        return _bridge.iterate(lambda: self._async.events(prompt, **options))

    def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        hide_values(options)
        return _bridge.run(lambda: self._async.complete(prompt, output_type=output_type, **options))

    def undo(self) -> str | None:
        return _bridge.run(self._async.undo)

    def clear(self) -> None:
        _bridge.run(self._async.clear)

    def count_tokens(self) -> int:
        return _bridge.run(self._async.count_tokens)

    def save(self, path: str | Path) -> None:
        _bridge.run(lambda: self._async.save(path))

    def close(self) -> None:
        self._async.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
