"""What a server that is a command writes to its standard error."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TextIO

__all__ = ["ServerOutput"]

# A file that has grown beyond this is emptied.
_MOST = 1_000_000
_SHOWN = 600


class ServerOutput:
    """Keeps what a server writes in a temporary file: the terminal is the program's, and in a notebook there is none.

    Attributes:
        file: Where the server writes.
    """

    def __init__(self) -> None:
        number, self._path = tempfile.mkstemp(prefix="tframex-mcp-", suffix=".log")
        os.close(number)
        # For appending: then the file can be emptied while it is written.
        self.file: TextIO = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - closed in `close`

    def end(self) -> str:
        """The last lines."""
        with suppress(OSError), open(self._path, "rb") as file:
            file.seek(max(0, os.path.getsize(self._path) - 4 * _SHOWN))
            return file.read().decode("utf-8", "replace").strip()[-_SHOWN:]
        return ""

    def trim(self) -> None:
        """Empty a file that has become long."""
        with suppress(OSError):
            if os.path.getsize(self._path) > _MOST:
                os.truncate(self._path, 0)

    def close(self) -> None:
        """Remove the file."""
        self.file.close()
        with suppress(OSError):
            os.unlink(self._path)
