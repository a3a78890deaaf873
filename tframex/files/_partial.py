"""Files that are whole or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from tframex.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PartialFile", "make_folder", "reported"]

_being_written: set[Path] = set()
_lock = threading.Lock()


class PartialFile:
    """A text file that grows as `PATH.partial` and gets its name when it is whole.

    A reader can follow the partial file: every write reaches it at once. Without `finish` the partial file stays as it
    is and an older file at the path is untouched.

    Args:
        path: The final file; missing folders are made.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip() or not Path(path).name:
            raise OutputError(f"cannot write {str(path)!r}: it has no file name", path=str(path))
        self.path = Path(path)
        self._file: IO[str] | None = None
        self.partial = self.path.with_name(f"{self.path.name}.partial")

    def __enter__(self) -> Self:
        with reported(self.path):
            is_folder = self.path.is_dir()
        if is_folder:
            raise OutputError(f"cannot write {self.path}: it is a folder; give the name of a file", path=str(self.path))
        make_folder(self.path.parent)
        self._key = self.partial.resolve()
        with _lock:
            if self._key in _being_written:
                raise OutputError(
                    f"cannot write {self.path}: another call is writing it; give each its own name", path=str(self.path)
                )
            _being_written.add(self._key)
        return self

    def write(self, text: str) -> None:
        """Append text; the first replaces the partial file of an earlier failure."""
        with reported(self.path):
            self._opened().write(text)
            self._opened().flush()

    def _opened(self) -> IO[str]:
        if self._file is None:
            # Newlines are written as they came: "\r\n" of a model is part of its answer.
            self._file = self.partial.open("w", encoding="utf-8", newline="", errors="surrogatepass")
        return self._file

    def clear(self) -> None:
        """Begin again."""
        with reported(self.path):
            self._opened().seek(0)
            self._opened().truncate()

    def finish(self) -> None:
        """Give the file its name; it is on disk before it replaces an older one."""
        with reported(self.path):
            self._opened().flush()
            os.fsync(self._opened().fileno())
            self._opened().close()
            os.replace(self.partial, self.path)
        with suppress(OSError):
            self._reason.unlink()

    def fail(self, reason: str) -> None:
        """Write down, beside the partial file, why it is not whole; `finish` removes that again."""
        with suppress(OSError):
            self._reason.write_text(f"{reason}\n", encoding="utf-8", errors="replace")

    @property
    def _reason(self) -> Path:
        return self.path.with_name(f"{self.path.name}.error")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # After a failed write closing fails as well, for the same reason, which has been reported.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        with _lock:
            _being_written.discard(self._key)


@contextmanager
def reported(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an `OSError` into an `OutputError` that names the file."""
    try:
        yield
    except OSError as exc:
        check = (
            "its name, and that it may be read"
            if doing == "read"
            else "that the folder is writable and the disk not full"
        )
        raise OutputError(f"cannot {doing} {path}: {exc.strerror or exc}. Check {check}.", path=str(path)) from exc


def make_folder(path: str | Path) -> Path:
    """Make a folder and those above it.

    Raises:
        OutputError: A file is in the way, or the folder cannot be made.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot use {path} as a folder: it is a file", path=str(path))
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
    return path
