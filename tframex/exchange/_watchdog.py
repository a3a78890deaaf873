"""Ends reads of sockets that take too long, for callers that cannot be interrupted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Watchdog"]

_IDLE_ROUNDS = 5


class Watchdog:
    """One thread that watches all sockets; it ends when there has been nothing to watch for a while.

    One timer for each socket would be one thread for each, which costs as much as ten tokens of a stream.

    Args:
        seconds: How long a socket may be watched before it is shut down; it may be twice as long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begin()
        if hasattr(os, "register_at_fork"):
            # The thread is not in the child, and it may have held the lock.
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._watched: dict[object, tuple[float, Any]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, sock: Any) -> Iterator[None]:
        """Shut `sock` down if this lasts too long: a read of it then finds the end of the stream.

        Where no thread can be started (the interpreter is shutting down, or the system has too many), it is shut down
        immediately: nothing could end a read that waits.
        """
        key = object()
        with self._lock:
            self._watched[key] = (time.monotonic() + self._seconds, sock)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tframex-watchdog", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError:
                    _end(sock)
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(key, None)

    def _run(self) -> None:
        idle = 0
        while idle < _IDLE_ROUNDS:
            time.sleep(self._seconds)
            with self._lock:
                idle = 0 if self._watched else idle + 1
                if idle == _IDLE_ROUNDS:
                    self._thread = None
                now = time.monotonic()
                for since, sock in self._watched.values():
                    if since <= now:
                        _end(sock)


def _end(sock: Any) -> None:
    with suppress(OSError):
        sock.shutdown(2)
