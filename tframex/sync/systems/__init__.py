"""`tframex.systems` without `await`."""

from tframex.sync.systems._base import BaseSystem
from tframex.sync.systems._many import MultiCallSystem
from tframex.sync.systems._reading import ChainOfAgents, LongTextSystem, MapReduceSystem

__all__ = ["BaseSystem", "ChainOfAgents", "LongTextSystem", "MapReduceSystem", "MultiCallSystem"]
