"""What every system can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from tframex.agents.base import check_parts
from tframex.model.base import BaseModel

__all__ = ["BaseSystem"]


class BaseSystem(ABC):
    """Several calls or agents that solve one task together.

    A subclass implements `run`, with whatever parameters its task has.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.

    Raises:
        ConfigurationError: The name is empty, or the model is not a model (or one of `tframex.sync`).
    """

    def __init__(self, system_id: str, model: BaseModel) -> None:
        check_parts("system_id", system_id, model)
        self.system_id = system_id
        self.model = model

    @abstractmethod
    async def run(self, *args: Any, **options: Any) -> Any:
        """Solve the task."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.system_id!r}, {self.model!r})"
