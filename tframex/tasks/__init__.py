"""Tasks: their event loop, how many run concurrently, how iterators are closed, callbacks and progress."""

from tframex.tasks._adaptive_limit import AdaptiveLimit
from tframex.tasks._callbacks import ABORTS, call_user, is_async
from tframex.tasks._closing import Closing, map_bounded
from tframex.tasks._emitted import emitted
from tframex.tasks._generators import Begun, Kept
from tframex.tasks._limit import OF_MANY, Limit, Place
from tframex.tasks._loop import LoopBound
from tframex.tasks._progress import Progress, ProgressCallback
from tframex.tasks._reports import Reports
from tframex.tasks._running import is_cancelled
from tframex.tasks._spawning import spawn

__all__ = [
    "ABORTS",
    "OF_MANY",
    "AdaptiveLimit",
    "Begun",
    "Closing",
    "Kept",
    "Limit",
    "LoopBound",
    "Place",
    "Progress",
    "ProgressCallback",
    "Reports",
    "call_user",
    "emitted",
    "is_async",
    "is_cancelled",
    "map_bounded",
    "spawn",
]
