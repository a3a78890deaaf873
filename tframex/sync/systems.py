"""`tframex.systems` without `await`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tframex import model as _model
from tframex import systems as _systems
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors, unwrap
from tframex.sync.model import BaseModel
from tframex.systems import ProgressCallback
from tframex.tokens import TokenCounter

__all__ = ["BaseSystem", "ChainOfAgents", "MultiCallSystem"]


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
        return _bridge.run(lambda: self._async.run(*args, **options))


@mirrors(_systems.ChainOfAgents)
class ChainOfAgents(BaseSystem):
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
    ) -> None:
        self._async = _systems.ChainOfAgents(
            system_id,
            unwrap(model, _model.BaseModel, "model"),
            chunk_size,
            chunk_overlap,
            max_notes=max_notes,
            counter=counter,
        )

    def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> str:
        return _bridge.run(lambda: self._async.run(initial_prompt, long_text, progress=progress, **options))


@mirrors(_systems.MultiCallSystem)
class MultiCallSystem(BaseSystem):
    _async: _systems.MultiCallSystem

    def __init__(self, system_id: str, model: BaseModel, *, max_concurrency: int = 16) -> None:
        self._async = _systems.MultiCallSystem(
            system_id, unwrap(model, _model.BaseModel, "model"), max_concurrency=max_concurrency
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
        return _bridge.run(
            lambda: self._async.run(prompt, num_calls, output_dir, base_filename, progress=progress, **options)
        )
