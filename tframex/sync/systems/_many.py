"""The system that makes many calls, without `await`."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Literal

from tframex import agents as _agents
from tframex import systems as _systems
from tframex._types import Messages
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.sync import _bridge
from tframex.sync._facade import mirrors, unwrap
from tframex.sync.agents import BaseAgent
from tframex.sync.model import BaseModel
from tframex.sync.systems._base import KINDS, SUCH_AS, BaseSystem
from tframex.systems import (
    BatchResult,
    BestOf,
    Judge,
    ProgressCallback,
    Samples,
    Vote,
    VoteKey,
)

__all__ = ["MultiCallSystem"]


@mirrors(_systems.MultiCallSystem)
class MultiCallSystem(BaseSystem):
    _async: _systems.MultiCallSystem

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        *,
        max_concurrency: int | Literal["auto"] = "auto",
        warm_prefix: bool = False,
    ) -> None:
        self._async = _systems.MultiCallSystem(
            system_id,
            unwrap(model, KINDS, "model", SUCH_AS),
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
