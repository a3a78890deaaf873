"""Systems: several calls or agents that solve one task together."""

from tframex.systems.base import BaseSystem
from tframex.systems.many._judging import Judge
from tframex.systems.many._voting import VoteKey
from tframex.systems.many.batch import BatchResult
from tframex.systems.many.multi_call_system import MultiCallSystem
from tframex.systems.many.samples import BestOf, Sample, Samples, Vote
from tframex.systems.reading.chain_of_agents import ChainOfAgents
from tframex.systems.reading.long_text import LongTextSystem
from tframex.systems.reading.map_reduce import MapReduceSystem
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.systems.reading.record import LongTextResult, Step
from tframex.systems.reading.sources import Source
from tframex.tasks import Progress, ProgressCallback

__all__ = [
    "BaseSystem",
    "BatchResult",
    "BestOf",
    "ChainOfAgents",
    "Judge",
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
    "VoteKey",
]
