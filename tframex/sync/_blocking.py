"""The synchronous form of an asynchronous object."""

from __future__ import annotations

from typing import Any, overload

from tframex import agents as _agents
from tframex import model as _model
from tframex import systems as _systems
from tframex import tools as _tools
from tframex.errors import ConfigurationError
from tframex.sync.agents import BaseAgent, BasicAgent, ToolAgent
from tframex.sync.conversation import Conversation
from tframex.sync.model import BaseModel, VLLMModel
from tframex.sync.systems import BaseSystem, ChainOfAgents, LongTextSystem, MapReduceSystem, MultiCallSystem
from tframex.sync.tools import MCPTools

__all__ = ["blocking"]

# The most specific first. A ContextAgent has the methods of a BasicAgent.
_FORMS: tuple[tuple[type, Any], ...] = (
    (_model.VLLMModel, VLLMModel),
    (_model.BaseModel, BaseModel),
    (_agents.BasicAgent, BasicAgent),
    (_agents.ToolAgent, ToolAgent),
    (_agents.BaseAgent, BaseAgent),
    (_agents.Conversation, Conversation),
    (_systems.ChainOfAgents, ChainOfAgents),
    (_systems.MapReduceSystem, MapReduceSystem),
    (_systems.LongTextSystem, LongTextSystem),
    (_systems.MultiCallSystem, MultiCallSystem),
    (_systems.BaseSystem, BaseSystem),
    (_tools.MCPTools, MCPTools),
)


@overload
def blocking(target: _model.VLLMModel) -> VLLMModel: ...
@overload
def blocking(target: _model.BaseModel) -> BaseModel: ...
@overload
def blocking(target: _agents.BasicAgent) -> BasicAgent: ...
@overload
def blocking(target: _agents.ToolAgent) -> ToolAgent: ...
@overload
def blocking(target: _agents.BaseAgent) -> BaseAgent: ...
@overload
def blocking(target: _agents.Conversation) -> Conversation: ...
@overload
def blocking(target: _systems.ChainOfAgents) -> ChainOfAgents: ...
@overload
def blocking(target: _systems.MapReduceSystem) -> MapReduceSystem: ...
@overload
def blocking(target: _systems.LongTextSystem) -> LongTextSystem: ...
@overload
def blocking(target: _systems.MultiCallSystem) -> MultiCallSystem: ...
@overload
def blocking(target: _systems.BaseSystem) -> BaseSystem: ...
@overload
def blocking(target: _tools.MCPTools) -> MCPTools: ...


def blocking(target: Any) -> Any:
    """The synchronous form of a model, agent or system, your own subclasses included.

    Methods beyond those of the base class are there too: an `async def` method returns its result, an async generator
    method an iterator, and everything else is passed through. The object must not be in use on an event loop of yours at
    the same time.

    Args:
        target: An object of `tframex.model`, `tframex.agents` or `tframex.systems`, or of a subclass.

    Raises:
        ConfigurationError: It is something else.
    """
    for kind, form in _FORMS:
        if isinstance(target, kind):
            return form._of(target)
    raise ConfigurationError(
        f"blocking takes an asynchronous model, agent or system, not {type(target).__name__}; those of tframex.sync are "
        "synchronous already"
    )
