"""What every synchronous system can do."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tframex import agents as _agents
from tframex import model as _model
from tframex import systems as _systems
from tframex.events import Event
from tframex.exchange import hide_values
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors
from tframex.sync.model import BaseModel

__all__ = ["KINDS", "SUCH_AS", "BaseSystem"]

# What a system works with.
KINDS = (_model.BaseModel, _agents.BaseAgent)
SUCH_AS = "model or agent (such as tframex.sync.VLLMModel)"


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
