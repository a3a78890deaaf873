"""Files: answers that grow, lines, and the journal of a run."""

from tframex.files._journal import Journal, Row, content_key
from tframex.files._lines import LineFile, count_lines, read_lines
from tframex.files._lock import OwnerLock
from tframex.files._partial import PartialFile, make_folder, reported

__all__ = [
    "Journal",
    "LineFile",
    "OwnerLock",
    "PartialFile",
    "Row",
    "content_key",
    "count_lines",
    "make_folder",
    "read_lines",
    "reported",
]
