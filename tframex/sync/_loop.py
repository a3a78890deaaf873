"""The event loop of the bridge."""

from __future__ import annotations

import asyncio
import os

__all__ = ["new_loop"]


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop, where that is installed (`pip install tframex[fast]`), or one of asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    if not _has_standard_streams():
        # The files of the loop would get their numbers, and libuv ends the process when it closes such a file.
        return asyncio.new_event_loop()
    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made


def _has_standard_streams() -> bool:
    try:
        for number in range(3):
            os.fstat(number)
    except OSError:
        return False
    return True
