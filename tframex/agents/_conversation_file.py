"""The file of a conversation: one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tframex._logging import get_logger
from tframex.agents._turns import Turns
from tframex.errors import OutputError
from tframex.files import LineFile, PartialFile, read_lines, reported

__all__ = ["ConversationFile", "write_copy"]

_FORMAT = 1
_BEGINNING = b'{"conversation":'

log = get_logger("tframex.agents")


class ConversationFile:
    """The records of a conversation on disk. Its methods block; call them in a thread.

    A last line that is damaged was being written when its process was killed, or the power failed: it is left out.

    Args:
        path: The file.
        agent_id: Who answers, for whoever reads the file.

    Raises:
        OutputError: It is not a conversation, is damaged, is open elsewhere, or cannot be read or written.
    """

    def __init__(self, path: str | Path, agent_id: str) -> None:
        self.path = Path(path)
        self._pid = os.getpid()
        self._unsaved: list[str] = []
        self._closed = False
        self.turns = Turns()
        with reported(self.path, "read"):
            begun = self.path.exists() and self.path.stat().st_size > 0
            if begun:
                self._check_beginning()
            size = self.path.stat().st_size if begun else 0
        self._file: LineFile | None = LineFile(self.path)
        try:
            # What a killed process has left has been removed.
            with reported(self.path, "read"):
                left = size - self.path.stat().st_size
            if left > 0:
                log.warning("the last line was not complete and is left out", path=str(self.path), bytes=left)
            if not self._load():
                self.append({"conversation": _FORMAT, "agent": agent_id})
        except BaseException:
            self.close()
            raise

    def _check_beginning(self) -> None:
        """Leave alone a file that is something else."""
        with self.path.open("rb") as file:
            beginning = file.read(len(_BEGINNING))
        if beginning != _BEGINNING[: len(beginning)]:
            raise OutputError(
                f"{self.path} is not a conversation, and was left as it is; give another file", path=str(self.path)
            )

    def _load(self) -> bool:
        """Read what was said; returns whether there is anything."""
        lines = list(read_lines(self.path))
        for position, (number, line) in enumerate(lines):
            try:
                record = json.loads(line)
                if position:
                    self.turns.apply(record)
                elif record["conversation"] != _FORMAT:
                    raise OutputError(
                        f"{self.path} was written by another version of TFrameX; give another file", path=str(self.path)
                    )
            except (ValueError, KeyError, TypeError) as exc:
                if position < len(lines) - 1:
                    raise OutputError(
                        f"line {number} of the conversation {self.path} is damaged ({exc}). Mend or remove the line, or "
                        "give another file.",
                        path=str(self.path),
                    ) from exc
                log.warning("the last line is damaged and is left out", path=str(self.path), line=number)
                assert self._file is not None
                self._file.replace(kept.rstrip("\r\n") for _, kept in lines[:position])
                self._file = LineFile(self.path)
                return position > 0
        return bool(lines)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, and wait until it is on disk.

        Raises:
            OutputError: It cannot be written. It is kept, and written before the next one.
        """
        if self._pid != os.getpid():
            raise OutputError(
                f"the conversation {self.path} was opened by the process that this one was forked from, and is in use "
                "there; give this process its own file",
                path=str(self.path),
            )
        first, *rest = record.items()
        self._unsaved.append(_line(dict([first, ("time", _now()), *rest])))
        if self._closed:
            raise OutputError(f"the conversation in {self.path} was closed before this was saved", path=str(self.path))
        if self._file is None:
            self._file = LineFile(self.path)
        try:
            self._file.write(self._unsaved)
        except OutputError:
            # Half of a line may have been written; what opens the file removes it.
            self._file.close()
            self._file = None
            raise
        self._unsaved.clear()

    def close(self) -> None:
        """Close the file, so that the conversation may be continued elsewhere."""
        self._closed = True
        if self._file is not None:
            self._file.close()


def write_copy(path: str | Path, turns: Turns, agent_id: str) -> None:
    """Write a file with these turns.

    Raises:
        OutputError: There is such a file already, or it cannot be written.
    """
    if Path(path).exists():
        raise OutputError(f"{path} exists already; give the name of a new file", path=str(path))
    records: list[dict[str, Any]] = [{"conversation": _FORMAT, "agent": agent_id, "time": _now()}]
    records += ({"turn": number, "messages": turn} for number, turn in enumerate(turns.all, 1))
    if turns.summary:
        records.append({"summary": turns.summary, "turns": turns.condensed})
    with PartialFile(path) as file:
        file.write("".join(f"{_line(record)}\n" for record in records))
        file.finish()


def _line(record: Mapping[str, Any]) -> str:
    # A lone surrogate, which JSON can have and UTF-8 cannot, is escaped.
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(record)
    return line


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
