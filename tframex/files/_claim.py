"""Files that one run at a time writes."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["claimed", "released"]

# Windows locks bytes, and keeps others from reading them: one far behind everything that is written.
_FAR = 0x7FFF_FFF0
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}

_held: weakref.WeakSet[FileIO] = weakref.WeakSet()


def claimed(path: Path) -> FileIO | None:
    """Open a file to read it and to append to it, and keep other runs out, of this process and of others.

    The claim ends with `released`, or with this process, however it ends. A child that is forked meanwhile has no part in
    it. Where the file system has no locks, other runs are not kept out.

    Args:
        path: The file; it is made if it is missing.

    Returns:
        The file, or None if another run has it.

    Raises:
        OSError: It cannot be opened.
    """
    while True:
        file = FileIO(path, "a+")
        _held.add(file)
        try:
            if not _lock(file):
                released(file)
                return None
            # Whoever had it may have given it another name, or removed it, between the two.
            if _is_at(file, path):
                return file
        except BaseException:
            released(file)
            raise
        released(file)


def released(file: FileIO) -> None:
    """Close a claimed file and let others have it."""
    _held.discard(file)
    if file.closed:
        return
    with suppress(OSError):
        _unlock(file)
    # After a failed write closing fails as well, for the same reason, which has been reported.
    with suppress(OSError):
        file.close()


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
    # Not left to closing: a child that was forked without Python's knowledge has the same open file.
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
