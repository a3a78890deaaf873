"""A new database of a journal, made by copying one."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from functools import lru_cache
from pathlib import Path

__all__ = ["SCHEMA", "copy_new"]

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS steps (name TEXT PRIMARY KEY, key TEXT NOT NULL, start INTEGER NOT NULL, "
    '"end" INTEGER NOT NULL, done INTEGER NOT NULL, text TEXT NOT NULL, tokens INTEGER NOT NULL, '
    "details TEXT NOT NULL) WITHOUT ROWID",
)


def copy_new(path: Path) -> bool:
    """Make an empty database with its tables, already in WAL mode, unless there is a file; returns whether it was made.

    SQLite takes half a millisecond for it, and waits for the disk twice.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o644)
    except FileExistsError:
        return False
    with closing(os.fdopen(file, "wb", buffering=0)) as opened:
        opened.write(_empty())
    return True


@lru_cache(maxsize=1)
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            for statement in SCHEMA:
                database.execute(statement)
        return path.read_bytes()
