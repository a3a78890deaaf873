"""Systems: several calls or agents that solve one task together."""

from tframex._progress import Progress, ProgressCallback
from tframex.systems.base import BaseSystem
from tframex.systems.batch import BatchResult
from tframex.systems.chain_of_agents import ChainOfAgents
from tframex.systems.long_text import LongTextSystem
from tframex.systems.map_reduce import MapReduceSystem
from tframex.systems.multi_call_system import MultiCallSystem
from tframex.systems.prompts import LongTextPrompts
from tframex.systems.record import LongTextResult, Step
from tframex.systems.samples import BestOf, Sample, Samples, Vote
from tframex.systems.sources import Source

__all__ = [
    "BaseSystem",
    "BatchResult",
    "BestOf",
    "ChainOfAgents",
    "LongTextPrompts",
    "LongTextResult",
    "LongTextSystem",
    "MapReduceSystem",
    "MultiCallSystem",
    "Progress",
    "ProgressCallback",
    "Sample",
    "Samples",
    "Source",
    "Step",
    "Vote",
]
