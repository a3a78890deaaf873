"""A file that only one run at a time may use."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from tframex.files._fork_lock import ForkLock

if TYPE_CHECKING:
    from typing_extensions import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Claim"]

# Windows locks bytes, and keeps others from reading them: this one is far after everything that is written.
_FAR = 0x7FFF_FFF0
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}

_opening = ForkLock()
"""Held while a file is opened, so that a forked child finds every file that it has to close."""
_held: weakref.WeakSet[FileIO] = weakref.WeakSet()


class Claim:
    """The sole use of a file, opened to be read and appended to: other runs, in this process or in others, are kept out.

    It ends with `release` or `remove`, or with this process, however it ends. A child that is forked meanwhile does not
    share it. Where the file system has no locks, other runs are not kept out. Make it with `take`.

    Attributes:
        path: The path of the file.
        file: The open file.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self.file = file

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Claim a file, which is created if it is missing; None if another run has claimed it.

        Raises:
            OSError: It cannot be opened.
        """
        while True:
            with _opening:
                file = FileIO(path, "a+")
                _held.add(file)
            claim = cls(path, file)
            try:
                if not _lock(file):
                    claim.release()
                    return None
                # The run that had it may have renamed or removed it between opening and locking.
                if _is_at(file, path):
                    return claim
            except BaseException:
                claim.release()
                raise
            claim.release()

    def release(self) -> None:
        """Close the file, so that another run may claim it."""
        _held.discard(self.file)
        if self.file.closed:
            return
        with suppress(OSError):
            _unlock(self.file)
        # After a failed write closing fails as well, for the same reason, which has been reported.
        with suppress(OSError):
            self.file.close()

    def remove(self) -> None:
        """Remove the file and end the claim; a file that was released, or is claimed by a parent process, is kept."""
        if self.file.closed:
            return
        if sys.platform == "win32":
            # Windows cannot remove an open file. Elsewhere a run that opened it meanwhile finds it gone from its path.
            self.release()
        with suppress(OSError):
            self.path.unlink()
        self.release()


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: FileIO) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _TAKEN:
            return False
        if exc.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
    return True


def _unlock(file: FileIO) -> None:
    # Closing alone may not unlock it: a child that was forked outside Python has the same open file.
    if sys.platform == "win32":
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


def _close_in_child() -> None:
    # A lock is held for as long as any process has the file open: a worker that outlives its parent would keep it.
    for file in list(_held):
        with suppress(OSError):
            file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
