"""Finished steps of a long job in a file, so that a killed run continues after the last of them.

SQLite in WAL mode: a row is written completely or not at all, whenever the process dies. One run at a time owns the file:
two would pay for everything twice. Others may read it meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tframex.errors import CheckpointError, ConfigurationError
from tframex.files._claim import Claim
from tframex.files._fork_lock import ForkLock
from tframex.files._new_database import SCHEMA, copy_new
from tframex.files._row import Row

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Journal"]

T = TypeVar("T")

_ATTEMPTS = 250
_SYNCHRONOUS = "NORMAL"
_FORMAT = "tframex checkpoint 2"
_SELECT = 'SELECT name, key, start, "end", done, text, tokens, details FROM steps'


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch to WAL, again and again while another process does it at the same moment: SQLite does not wait for that."""
    for attempt in range(_ATTEMPTS):
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.02)
        else:
            return


class Journal:
    """The steps of one job. Its methods block for a moment; call them in a thread.

    Args:
        path: The file; missing folders are made.
        job: The `content_key` of the job; None takes an existing file, whatever its job is.

    Raises:
        CheckpointError: The file is damaged, belongs to another job, is in use by another run, or cannot be written.
        ConfigurationError: The path is empty.
    """

    def __init__(self, path: str | Path, job: str | None) -> None:
        if not str(path).strip():
            raise ConfigurationError("checkpoint must be the path of a file, not an empty string")
        self.path = Path(path)
        if job is None and not self.path.exists():
            raise CheckpointError(f"there is no checkpoint {self.path}", path=str(path))
        self._lock = ForkLock()
        self._pid = os.getpid()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise CheckpointError(
                f"the folder of checkpoint {self.path} cannot be created ({exc})", path=str(path)
            ) from exc
        self._owner = self._claim()
        try:
            self._database = self._checked(lambda: self._open(job))
        except BaseException:
            self._owner.remove()
            raise

    def _claim(self) -> Claim:
        # A file beside the database, on which SQLite has its own locks.
        try:
            claim = Claim.take(self.path.with_name(f"{self.path.name}.lock"))
        except OSError as exc:
            raise self._unusable(exc) from exc
        if claim is None:
            raise CheckpointError(
                f"checkpoint {self.path} is in use by another run. Wait until that has ended and run again (its finished "
                "steps are not asked again), or give another file.",
                path=str(self.path),
            )
        return claim

    def _open(self, job: str | None) -> sqlite3.Connection:
        try:
            is_new = job is not None and copy_new(self.path)
        except OSError as exc:
            raise self._unusable(exc) from exc
        database = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            if not is_new:
                self._check_tables(database)
                _write_ahead(database)
            # The first row of a new file need not wait for the disk: there is nothing yet that it could harm.
            database.execute(f"PRAGMA synchronous={'OFF' if is_new else _SYNCHRONOUS}")
            # Another process may be making the same file.
            database.execute("BEGIN IMMEDIATE")
            for statement in () if is_new else SCHEMA:
                database.execute(statement)
            given = [("format", _FORMAT), ("job", job)] if job is not None else []
            database.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", given)
            database.execute("COMMIT")
            if is_new:
                # A power failure may cost the last steps, never the file; a killed process costs nothing.
                database.execute(f"PRAGMA synchronous={_SYNCHRONOUS}")
                return database
            meta = dict(database.execute("SELECT name, value FROM meta"))
            if meta.get("format") != _FORMAT:
                raise CheckpointError(
                    f"checkpoint {self.path} was written by another version of TFrameX ({meta.get('format')!r}); "
                    "delete it or give another file",
                    path=str(self.path),
                )
            if job is not None and meta["job"] != job:
                raise CheckpointError(
                    f"checkpoint {self.path} belongs to another job: another text, task, model, option or setting. "
                    "Nothing was mixed; give another file for this job, or delete that one.",
                    path=str(self.path),
                )
        except BaseException:
            database.close()
            raise
        return database

    def _check_tables(self, database: sqlite3.Connection) -> None:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"meta", "steps"} <= tables:
            raise CheckpointError(
                f"{self.path} is a database but not a checkpoint; give another file", path=str(self.path)
            )

    def get(self, name: str) -> Row | None:
        """The step of that name, or None if it has not begun."""
        found = self._checked(lambda: self._database.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone())
        return None if found is None else self._row(found)

    def rows(self) -> list[Row]:
        """All steps that have begun, by name."""
        return [self._row(row) for row in self._checked(lambda: self._database.execute(_SELECT).fetchall())]

    def _row(self, found: tuple[Any, ...]) -> Row:
        try:
            return Row.of(found)
        except ValueError as exc:
            raise self._damaged(exc) from exc

    def put(self, row: Row) -> None:
        """Record a step, replacing an earlier state of it; a finished one with the same key is kept."""
        self._checked(
            lambda: self._database.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET key = excluded.key, "
                'start = excluded.start, "end" = excluded."end", done = excluded.done, text = excluded.text, '
                "tokens = excluded.tokens, details = excluded.details WHERE NOT (done AND key = excluded.key)",
                row.values(),
            )
        )

    def exchange(self, rows: list[Row], done_with: list[str]) -> None:
        """Record steps and delete others, in one transaction."""
        put = "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        values = [row.values() for row in rows]

        def work() -> None:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(put, values)
                self._database.executemany("DELETE FROM steps WHERE name = ?", [(name,) for name in done_with])
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

        self._checked(work)

    def names(self) -> list[str]:
        """The names of the steps that have begun."""
        return [name for (name,) in self._checked(lambda: self._database.execute("SELECT name FROM steps").fetchall())]

    def remove(self) -> None:
        """Close the file and delete it; does nothing in a forked child."""
        if self._close():
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    self.path.with_name(self.path.name + suffix).unlink()
            self._owner.remove()

    def close(self) -> None:
        """Close the file; does nothing in a forked child."""
        if self._close():
            self._owner.remove()

    def _close(self) -> bool:
        # A child must not even close a database that its parent has opened.
        if self._pid != os.getpid():
            return False
        with self._lock:
            self._database.close()
        return True

    def _checked(self, work: Callable[[], T]) -> T:
        if self._pid != os.getpid():
            raise CheckpointError(
                f"checkpoint {self.path} was opened by the process that this one was forked from, and is in use there. "
                "Give this process its own file.",
                path=str(self.path),
            )
        with self._lock:
            try:
                return work()
            except sqlite3.OperationalError as exc:
                raise self._unusable(exc) from exc
            except sqlite3.DatabaseError as exc:
                raise self._damaged(exc) from exc

    def _unusable(self, exc: Exception) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.path} cannot be read or written ({exc}). Check the disk and the permissions, and that no "
            "other process has locked it.",
            path=str(self.path),
        )

    def _damaged(self, exc: Exception) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.path} is damaged or not a checkpoint ({exc}). Delete it and run again, or give another "
            "file.",
            path=str(self.path),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
