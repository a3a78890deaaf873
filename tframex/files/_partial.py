"""Files that only get their name when they are complete."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tframex.errors import OutputError
from tframex.files._claim import Claim

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PartialFile", "make_folder", "reported"]

# More than the number of runs that ever write one file concurrently.
_MOST = 10_000


class PartialFile:
    """A text file that grows as `PATH.partial` and gets its name when it is complete.

    A reader can follow the partial file: every write reaches it immediately. Without `finish` the partial file is kept
    (unless it is empty), and an older file at the path is untouched. Where several runs write the same file, in this
    process or in others, each has its own partial file (`PATH.2.partial` and so on), and the last that is complete gets the
    name.

    Args:
        path: The final file; missing folders are made.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip() or not Path(path).name:
            raise OutputError(f"cannot write {str(path)!r}: it has no file name", path=str(path))
        self.path = Path(path)
        self.partial = self._candidate(1)
        self._begun = False
        self._claim: Claim | None = None

    @property
    def _file(self) -> FileIO:
        return self._claimed.file

    @property
    def _claimed(self) -> Claim:
        assert self._claim is not None, "it is used in a with block"
        return self._claim

    def _candidate(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.partial" if number == 1 else f"{self.path.name}.{number}.partial")

    def __enter__(self) -> Self:
        with reported(self.path):
            is_folder = self.path.is_dir()
        if is_folder:
            raise OutputError(f"cannot write {self.path}: it is a folder; give the name of a file", path=str(self.path))
        make_folder(self.path.parent)
        with reported(self.path):
            for number in range(1, _MOST):
                self.partial = self._candidate(number)
                self._claim = Claim.take(self.partial)
                if self._claim is not None:
                    break
            else:
                raise OutputError(f"cannot write {self.path}: too many other runs are writing it", path=str(self.path))
        return self

    def write(self, text: str) -> None:
        """Append text; the first write replaces what an earlier failure left in the partial file."""
        # Newlines are written unchanged: "\r\n" from a model is part of its answer.
        data = memoryview(text.encode("utf-8", "surrogatepass"))
        with reported(self.path):
            self._begin()
            while data:
                data = data[self._file.write(data) :]

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._file.truncate(0)

    def clear(self) -> None:
        """Start over with an empty partial file."""
        with reported(self.path):
            self._begun = True
            self._file.truncate(0)

    def finish(self) -> None:
        """Give the file its name; it is on disk before it replaces an older one."""
        with reported(self.path):
            self._begin()
            os.fsync(self._file.fileno())
            if sys.platform == "win32":
                # Windows cannot rename an open file. Elsewhere the claim is kept until the file has its name.
                self._claimed.release()
            os.replace(self.partial, self.path)
        self._claimed.release()
        with suppress(OSError):
            self._reason.unlink()
        self._sweep()

    def _sweep(self) -> None:
        """Remove the partial files of runs that are over: they would mislead beside the complete answer."""
        for number in range(1, _MOST):
            candidate = self._candidate(number)
            if candidate.exists():
                with suppress(OSError):
                    if (claim := Claim.take(candidate)) is not None:
                        claim.remove()
            elif candidate != self.partial:
                return

    def fail(self, reason: str) -> None:
        """Record in `PATH.error` why the file is not complete; `finish` removes that file."""
        with suppress(OSError):
            if self._claim is not None and not self._begun and os.fstat(self._file.fileno()).st_size:
                reason += f"\nNothing had arrived; {self.partial.name} is from an earlier attempt."
            self._reason.write_text(f"{reason}\n", encoding="utf-8", errors="replace")

    @property
    def _reason(self) -> Path:
        return self.path.with_name(f"{self.path.name}.error")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._claim is not None and not self._claim.file.closed:
            with suppress(OSError):
                if not os.fstat(self._file.fileno()).st_size:
                    self._claim.remove()
            self._claim.release()


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
    """Create a folder and those above it.

    Raises:
        OutputError: There is a file of that name, or the folder cannot be created.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot use {path} as a folder: it is a file", path=str(path))
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
    return path
