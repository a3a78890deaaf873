"""A lock that is free in a forked child."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

__all__ = ["ForkLock"]


class ForkLock:
    """A reentrant lock that no other thread holds at a fork.

    The thread that forks takes all such locks first, and releases them in both processes. Otherwise a child would wait
    forever for a thread that it does not have, or find what that thread was doing half done. Hold it for a moment only, and
    take no second one meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._lock.release()


_all: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_taken: list[ForkLock] = []


def _take() -> None:
    for lock in list(_all):
        lock._lock.acquire()
        _taken.append(lock)


def _give_back() -> None:
    while _taken:
        _taken.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)
