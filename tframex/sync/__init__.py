"""The names of `tframex` to use without `await`, from scripts, threads and notebooks.

They run on one background thread with its own event loop, started at first use.
"""

from tframex.local import LocalServer
from tframex.sync._blocking import blocking
from tframex.sync.agents import BaseAgent, BasicAgent, ContextAgent, ToolAgent
from tframex.sync.conversation import Conversation
from tframex.sync.model import BaseModel, EndpointCounter, VLLMModel
from tframex.sync.systems import BaseSystem, ChainOfAgents, LongTextSystem, MapReduceSystem, MultiCallSystem
from tframex.sync.tools import MCPTools
from tframex.tools import AskAgain, Tool, ToolContext, ToolFailure, Toolset, tool

__all__ = [
    "AskAgain",
    "BaseAgent",
    "BaseModel",
    "BaseSystem",
    "BasicAgent",
    "ChainOfAgents",
    "ContextAgent",
    "Conversation",
    "EndpointCounter",
    "LocalServer",
    "LongTextSystem",
    "MCPTools",
    "MapReduceSystem",
    "MultiCallSystem",
    "Tool",
    "ToolAgent",
    "ToolContext",
    "ToolFailure",
    "Toolset",
    "VLLMModel",
    "blocking",
    "tool",
]
