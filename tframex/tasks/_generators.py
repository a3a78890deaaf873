"""Async generators that another one reads, and what becomes of them when the outer one is forgotten.

The event loop closes generators that were not finished: those that are collected, each in a task, and all that it knows
when it ends. It must do so to the outermost one only, which closes those inside it in their order. If it came to an inner
one first, the two would meet: "asynchronous generator is already running", or, where garbage collection throws
`GeneratorExit` into a generator that then waits for its connection to close, "async generator ignored GeneratorExit".
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from tframex.tasks._running import running_loop

__all__ = ["Begun", "Kept", "begin"]

T = TypeVar("T")


def _unknown_to_the_loop(function: Callable[..., T], *arguments: Any) -> T:
    """Call it; async generators that are first asked for an item meanwhile are closed by their reader, and by it alone."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, _leave)
    try:
        return function(*arguments)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _leave(generator: object) -> None:
    """A finalizer: its being there keeps Python from throwing `GeneratorExit` into a generator that is collected."""


def begin(start: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    """Ask an async generator for its first item; the event loop does not get to know it.

    Args:
        start: Its `__anext__`.
    """
    return _unknown_to_the_loop(start)


class Begun(Generic[T]):
    """As `begin`, and neither does the loop get to know the generators that this one reads.

    Args:
        start: Its `__anext__`.
    """

    def __init__(self, start: Callable[[], Awaitable[T]]) -> None:
        self._start = start

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = begin(self._start).__await__()
        step, argument = steps.send, None
        while True:
            try:
                waits_for = _unknown_to_the_loop(step, argument)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]
            try:
                step, argument = steps.send, (yield waits_for)
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as exc:
                step, argument = steps.throw, exc


class Kept:
    """Keeps a thing alive until it is let go, also when all who use it are forgotten.

    A connection that garbage collection finds complains, whoever is about to close it. A loop that was closed without
    letting go of what it kept loses it when another one keeps something.
    """

    def __init__(self, thing: object) -> None:
        loop: Any = running_loop()
        if loop not in _kept:
            # A copy: another thread may be adding its loop.
            for closed in [other for other in list(_kept) if getattr(other, "is_closed", bool)()]:
                _kept.pop(closed, None)
        self._things = _kept.setdefault(loop, set())
        self._thing = thing
        self._things.add(thing)

    def let_go(self) -> None:
        """Nobody need keep it any more."""
        self._things.discard(self._thing)


_kept: dict[Any, set[object]] = {}
