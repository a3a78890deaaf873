"""Tasks: the event loop they run on, how many run concurrently, how iterators are closed, and progress."""

from tframex.tasks._adaptive_limit import AdaptiveLimit
from tframex.tasks._closing import Closing, map_bounded
from tframex.tasks._limit import Limit, Place
from tframex.tasks._loop import LoopBound
from tframex.tasks._progress import Progress, ProgressCallback

__all__ = ["AdaptiveLimit", "Closing", "Limit", "LoopBound", "Place", "Progress", "ProgressCallback", "map_bounded"]
