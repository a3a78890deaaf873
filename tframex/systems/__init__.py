"""Systems: several calls or agents that solve one task together."""

from tframex._progress import Progress, ProgressCallback
from tframex.systems.base import BaseSystem
from tframex.systems.chain_of_agents import ChainOfAgents
from tframex.systems.multi_call_system import MultiCallSystem

__all__ = ["BaseSystem", "ChainOfAgents", "MultiCallSystem", "Progress", "ProgressCallback"]
