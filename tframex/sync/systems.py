"""`tframex.systems` without `await`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from tframex import agents as _agents
from tframex import model as _model
from tframex import systems as _systems
from tframex._types import Messages
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors, unwrap
from tframex.sync.agents import BaseAgent
from tframex.sync.model import BaseModel
from tframex.systems import (
    BatchResult,
    BestOf,
    Judge,
    LongTextPrompts,
    LongTextResult,
    ProgressCallback,
    Samples,
    Vote,
    VoteKey,
)
from tframex.systems.reading.chain_of_agents import Decision, Order
from tframex.tokens import TokenCounter

__all__ = ["BaseSystem", "ChainOfAgents", "LongTextSystem", "MapReduceSystem", "MultiCallSystem"]


@mirrors(_systems.BaseSystem)
class BaseSystem(Facade):
    _async: _systems.BaseSystem

    @property
    def system_id(self) -> str:
        return self._async.system_id

    @property
    def model(self) -> BaseModel:
        from tframex.sync import blocking

        return blocking(self._async.model)

    def run(self, *args: Any, **options: Any) -> Any:
        hide_values(options)
        return _bridge.run(lambda: self._async.run(*args, **options))

    def events(self, *args: Any, **options: Any) -> Generator[Event, None, None]:
        return _bridge.iterate(lambda: self._async.events(*args, **options))


@mirrors(_systems.LongTextSystem)
class LongTextSystem(BaseSystem):
    _async: _systems.LongTextSystem

    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> str:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.run(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        )

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

    def stream(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> Generator[str, None, None]:
        return _bridge.iterate(
            lambda: self._async.stream(initial_prompt, long_text, progress=progress, checkpoint=checkpoint, **options)
        )

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


def _other(model: BaseModel | None, name: str) -> _model.BaseModel | None:
    return None if model is None else unwrap(model, _model.BaseModel, name)


@mirrors(_systems.ChainOfAgents)
class ChainOfAgents(LongTextSystem):
    _async: _systems.ChainOfAgents

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | None = None,
        manager: BaseModel | None = None,
        order: Order = "forward",
        paths: int = 1,
        decide: Decision = "judge",
        stop_early: bool = False,
        max_concurrency: int | Literal["auto"] = "auto",
    ) -> None:
        self._async = _systems.ChainOfAgents(
            system_id,
            unwrap(model, _model.BaseModel, "model"),
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
        model: BaseModel,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
        prompts: LongTextPrompts | None = None,
        worker: BaseModel | None = None,
        manager: BaseModel | None = None,
        max_concurrency: int | Literal["auto"] = "auto",
    ) -> None:
        self._async = _systems.MapReduceSystem(
            system_id,
            unwrap(model, _model.BaseModel, "model"),
            chunk_size,
            chunk_overlap,
            max_notes=max_notes,
            counter=counter,
            prompts=prompts,
            worker=_other(worker, "worker"),
            manager=_other(manager, "manager"),
            max_concurrency=max_concurrency,
        )


@mirrors(_systems.MultiCallSystem)
class MultiCallSystem(BaseSystem):
    _async: _systems.MultiCallSystem

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
        *,
        max_concurrency: int | Literal["auto"] = "auto",
        warm_prefix: bool = False,
    ) -> None:
        self._async = _systems.MultiCallSystem(
            system_id,
            unwrap(model, _model.BaseModel, "model"),
            max_concurrency=max_concurrency,
            warm_prefix=warm_prefix,
        )

    def run(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> dict[str, str]:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.run(prompt, num_calls, output_dir, base_filename, progress=progress, **options)
        )

    def complete(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Samples:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.complete(prompt, num_calls, output_dir, base_filename, progress=progress, **options)
        )

    def events(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Generator[Event, None, None]:
        return _bridge.iterate(
            lambda: self._async.events(prompt, num_calls, output_dir, base_filename, progress=progress, **options)
        )

    def sample(self, prompt: str, n: int, *, progress: ProgressCallback | None = None, **options: Any) -> Samples:
        hide_values(options)
        return _bridge.run(lambda: self._async.sample(prompt, n, progress=progress, **options))

    def map(
        self, prompts: Iterable[str | Messages], *, progress: ProgressCallback | None = None, **options: Any
    ) -> Samples:
        hide_values(options)
        return _bridge.run(lambda: self._async.map(prompts, progress=progress, **options))

    def vote(
        self,
        prompt: str,
        n: int,
        *,
        key: VoteKey | None = None,
        confidence: float = 0.95,
        allow_truncated: bool = False,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Vote:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.vote(
                prompt,
                n,
                key=key,
                confidence=confidence,
                allow_truncated=allow_truncated,
                progress=progress,
                **options,
            )
        )

    def best_of(
        self,
        prompt: str,
        n: int,
        judge: Judge | BaseAgent,
        *,
        allow_truncated: bool = False,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> BestOf:
        hide_values(options)
        asked = unwrap(judge, _agents.BaseAgent, "judge") if isinstance(judge, BaseAgent) else judge
        return _bridge.run(
            lambda: self._async.best_of(prompt, n, asked, allow_truncated=allow_truncated, progress=progress, **options)
        )

    def run_file(
        self,
        input_path: str | Path,
        output_path: str | Path,
        *,
        checkpoint: str | Path | None = None,
        retry_failed: bool = True,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> BatchResult:
        hide_values(options)
        return _bridge.run(
            lambda: self._async.run_file(
                input_path,
                output_path,
                checkpoint=checkpoint,
                retry_failed=retry_failed,
                progress=progress,
                **options,
            )
        )
