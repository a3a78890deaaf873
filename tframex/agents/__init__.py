"""Agents: each does one job with a model."""

from tframex.agents._agent_model import AgentModel
from tframex.agents._tool_results import Reader
from tframex.agents.base import BaseAgent
from tframex.agents.basic import BasicAgent
from tframex.agents.context import ContextAgent
from tframex.agents.conversation import Conversation
from tframex.agents.tool_agent import ToolAgent

__all__ = ["AgentModel", "BaseAgent", "BasicAgent", "ContextAgent", "Conversation", "Reader", "ToolAgent"]
