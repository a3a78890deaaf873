"""What every system can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any

from tframex.agents import AgentModel, BaseAgent
from tframex.events import Event, RunFinished, StepFinished, TextPiece
from tframex.exchange import hide_values
from tframex.model import BaseModel, record_calls

__all__ = ["BaseSystem"]


class BaseSystem(ABC):
    """Several calls or agents that solve one task together.

    A subclass implements `run`, with whatever parameters its task has; `events` follows from it.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with; or an agent, each of whose runs is then a call.

    Raises:
        ConfigurationError: The name is empty, or the model is neither a model nor an agent (or one of `tframex.sync`).
    """

    def __init__(self, system_id: str, model: BaseModel | BaseAgent) -> None:
        given = AgentModel.of("system_id", system_id, model)
        self.system_id = system_id
        self.model = given

    @abstractmethod
    async def run(self, *args: Any, **options: Any) -> Any:
        """Solve the task."""

    async def events(self, *args: Any, **options: Any) -> AsyncGenerator[Event, None]:
        """What happens until the task is solved; takes what `run` takes.

        A system that only has `run` emits a `StepFinished` for each model call it has made, its result in one piece if that
        is text, and `RunFinished` with the result.
        """
        hide_values(options)
        with record_calls() as calls:
            result = await self.run(*args, **options)
        for number, completion in enumerate(calls.completions, 1):
            yield StepFinished(f"call {number}", "call", completion)
        if result and isinstance(result, str):
            yield TextPiece(result)
        yield RunFinished(result)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.system_id!r}, {self.model!r})"
