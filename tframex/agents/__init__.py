"""Agents: each does one job with a model."""

from tframex.agents.base import BaseAgent
from tframex.agents.basic import BasicAgent
from tframex.agents.context import ContextAgent

__all__ = ["BaseAgent", "BasicAgent", "ContextAgent"]
