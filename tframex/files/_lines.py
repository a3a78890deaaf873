"""A file of lines that only grows, and stays readable when its writer is killed."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tframex.errors import OutputError
from tframex.files._claim import Claim
from tframex.files._partial import make_folder, reported

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LineFile", "count_lines", "read_lines"]

_BLOCK = 1 << 20


class LineFile:
    """Appends lines to a file; when `write` returns, they are on disk.

    A last line without a line end was left by a killed process: it is removed when the file is opened. The methods block;
    call them in a thread.

    Args:
        path: The file; missing folders are made.

    Raises:
        OutputError: The file cannot be read or written, or another run is writing it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make_folder(self.path.parent)
        with reported(self.path):
            claim = Claim.take(self.path)
        if claim is None:
            raise OutputError(
                f"cannot write {self.path}: another run is writing it, in this process or in another. Wait until that has "
                "ended, or give each run its own file.",
                path=str(self.path),
            )
        self._claim = claim
        self._file = claim.file
        try:
            with reported(self.path):
                self._repair()
                # A killed `replace` leaves this file.
                with suppress(FileNotFoundError):
                    self._replacement.unlink()
        except BaseException:
            claim.release()
            raise

    @property
    def _replacement(self) -> Path:
        target = self.path.resolve()
        return target.with_name(f"{target.name}.replacement")

    def _repair(self) -> None:
        size = end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            self._file.truncate(end)

    def write(self, lines: list[str]) -> None:
        """Append lines, and wait until they are on disk.

        Raises:
            OutputError: The disk is full, or the file was removed.
        """
        data = memoryview("".join(f"{line}\n" for line in lines).encode())
        with reported(self.path):
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
            if not self.path.exists():
                raise FileNotFoundError("it was removed while it was being written")

    def replace(self, lines: Iterable[str]) -> None:
        """Replace all lines of the file with these, and close it. If killed at any point, it has the old or the new lines.

        Raises:
            OutputError: The disk is full, or the file was removed.
        """
        with reported(self.path):
            with self._replacement.open("w", encoding="utf-8", newline="\n", errors="surrogateescape") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(self.path, self._replacement)
            if sys.platform == "win32":
                # Windows cannot replace an open file.
                self._claim.release()
            os.replace(self._replacement, self.path.resolve())
        self._claim.release()

    def close(self) -> None:
        """Close the file, so that another run may write it."""
        self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers from 1, one by one.

    Raises:
        OutputError: The file cannot be read.
    """
    with reported(path, "read"), path.open("rb") as start:
        if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise OutputError(f"cannot read {path}: it is UTF-16; save it as UTF-8", path=str(path))
    with reported(path, "read"), path.open(encoding="utf-8-sig", newline="\n", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def count_lines(path: Path) -> int:
    """About how many lines a file has.

    Raises:
        OutputError: The file cannot be read.
    """
    with reported(path, "read"), path.open("rb") as file:
        lines, last = 0, b"\n"
        for block in iter(lambda: file.read(_BLOCK), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
        return lines + (last != b"\n")
