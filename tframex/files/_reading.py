"""The steps of a checkpoint, read while its run may be alive."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tframex.errors import CheckpointError
from tframex.files._claim import Claim
from tframex.files._row import Row

__all__ = ["is_in_use", "read_journal"]


def is_in_use(path: str | Path) -> bool:
    """Whether a run that is alive writes to a checkpoint.

    Args:
        path: The file.
    """
    lock = Path(path).with_name(f"{Path(path).name}.lock")
    if not lock.exists():
        return False
    claim = Claim.take(lock)
    if claim is None:
        return True
    claim.remove()
    return False


def read_journal(path: str | Path) -> list[Row]:
    """The steps that a checkpoint has now, by name. The run that writes it is not disturbed.

    Args:
        path: The file.

    Raises:
        CheckpointError: There is none, or it is not a checkpoint.
    """
    place = Path(path)
    if not place.exists():
        raise CheckpointError(f"there is no checkpoint {place}", path=str(path))
    try:
        # Not immutable, and not only for reading: what a killed run has written last is taken over from the file beside it.
        with closing(sqlite3.connect(place, timeout=30)) as database:
            found = database.execute(
                'SELECT name, key, start, "end", done, text, tokens, details FROM steps'
            ).fetchall()
        return [Row.of(values) for values in found]
    except (sqlite3.Error, ValueError) as exc:
        raise CheckpointError(f"{place} is damaged or not a checkpoint ({exc})", path=str(path)) from exc
