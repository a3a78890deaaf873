"""One owner at a time for a file that several processes could write."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["OwnerLock"]

_held: dict[Path, int] = {}
"""The lock files this process holds, and its id: a forked child holds none of its parent's."""
_guard = threading.Lock()


class OwnerLock:
    """A claim on a file: `PATH.lock` beside it is locked until `release`, or until this process ends, however it ends.

    The lock is one of the process (POSIX record locks, `msvcrt.locking` on Windows): a forked child does not keep it.

    Args:
        path: The file that is claimed; it need not exist, its folder must.

    Raises:
        BlockingIOError: Another run of this process, or another process, holds it.
        OSError: The lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.lock")
        self._key = self.path.resolve()
        self._descriptor: int | None = None
        with _guard:
            # A second descriptor must not even be opened: closing it would let the first one's lock go.
            if _held.get(self._key) == os.getpid():
                raise BlockingIOError(f"{self.path} is held by another run of this process")
            self._descriptor = self._claim()
            _held[self._key] = os.getpid()

    def _claim(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor)
                # The owner before may have removed the file between the two lines above.
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    return descriptor
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def release(self) -> None:
        """Give the claim up, and remove the lock file; only the first time counts."""
        with _guard:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None or _held.get(self._key) != os.getpid():
                return
            del _held[self._key]
            if sys.platform == "win32":
                os.close(descriptor)
            # On POSIX it is removed while it is locked: whoever waits for it notices that it is not the file any more.
            with suppress(OSError):
                self.path.unlink()
            if sys.platform != "win32":
                os.close(descriptor)


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as exc:
            raise BlockingIOError("another process holds it") from exc

else:

    def _lock(descriptor: int) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError as exc:  # what some systems say for "held"
            raise BlockingIOError("another process holds it") from exc
