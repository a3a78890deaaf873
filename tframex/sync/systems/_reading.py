"""The systems that read a text of any length, without `await`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from tframex import model as _model
from tframex import systems as _systems
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.model import Output
from tframex.sync import _bridge
from tframex.sync._facade import mirrors, unwrap
from tframex.sync.agents import BaseAgent
from tframex.sync.model import BaseModel
from tframex.sync.systems._base import KINDS, SUCH_AS, BaseSystem
from tframex.systems import (
    LongTextPrompts,
    LongTextResult,
    ProgressCallback,
)
from tframex.systems.reading.chain_of_agents import Decision, Order
from tframex.tokens import TokenCounter

__all__ = ["ChainOfAgents", "LongTextSystem", "MapReduceSystem"]

T = TypeVar("T")


@mirrors(_systems.LongTextSystem)
class LongTextSystem(BaseSystem):
    _async: _systems.LongTextSystem

    @overload
    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: type[T] | Output[T],
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> T: ...
    @overload
    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: None = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> str: ...
    @overload
    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Any: ...
    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Any:
        hide_values(options)
        own: Any = {"output_type": output_type, "progress": progress, "checkpoint": checkpoint}
        return _bridge.run(lambda: self._async.run(initial_prompt, long_text, **own, **options))

    def complete(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> LongTextResult:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.complete(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        )

    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: type[T] | Output[T],
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[T | Any, None, None]: ...
    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: None = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[str, None, None]: ...
    @overload
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[Any, None, None]: ...
    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        output_type: Any = None,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[Any, None, None]:
        own: Any = {"output_type": output_type, "progress": progress, "checkpoint": checkpoint}
        return _bridge.iterate(lambda: self._async.stream(initial_prompt, long_text, **own, **options))

    def events(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[Event, None, None]:
        return _bridge.iterate(
            lambda: self._async.events(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        )

    def run_many(
        self,
        initial_prompt: str,
        long_texts: Sequence[str],
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> list[LongTextResult]:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.run_many(
                initial_prompt, long_texts, progress=progress, checkpoint=checkpoint, **options
            )
        )


def _other(model: BaseModel | BaseAgent | None, name: str) -> _model.BaseModel | None:
    return None if model is None else unwrap(model, KINDS, name, SUCH_AS)


@mirrors(_systems.ChainOfAgents)
class ChainOfAgents(LongTextSystem):
    _async: _systems.ChainOfAgents

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | BaseAgent | None = None,
        manager: BaseModel | BaseAgent | None = None,
        order: Order = "forward",
        paths: int = 1,
        decide: Decision = "judge",
        stop_early: bool = False,
        max_concurrency: int | Literal["auto"] = "auto",
    ) -> None:
        self._async = _systems.ChainOfAgents(
            system_id,
            unwrap(model, KINDS, "model", SUCH_AS),
            chunk_size,
            chunk_overlap,
            max_notes=max_notes,
            counter=counter,
            prompts=prompts,
            worker=_other(worker, "worker"),
            manager=_other(manager, "manager"),
            order=order,
            paths=paths,
            decide=decide,
            stop_early=stop_early,
            max_concurrency=max_concurrency,
        )


@mirrors(_systems.MapReduceSystem)
class MapReduceSystem(LongTextSystem):
    _async: _systems.MapReduceSystem

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | BaseAgent | None = None,
        manager: BaseModel | BaseAgent | None = None,
        max_concurrency: int | Literal["auto"] = "auto",
    ) -> None:
        self._async = _systems.MapReduceSystem(
            system_id,
            unwrap(model, KINDS, "model", SUCH_AS),
            chunk_size,
            chunk_overlap,
            max_notes=max_notes,
            counter=counter,
            prompts=prompts,
            worker=_other(worker, "worker"),
            manager=_other(manager, "manager"),
            max_concurrency=max_concurrency,
        )
