"""Files: answers that grow, lines, and the journal of a run."""

from tframex.files._journal import Journal
from tframex.files._lines import LineFile, count_lines, read_lines
from tframex.files._partial import PartialFile, make_folder, reported
from tframex.files._reading import is_in_use, read_journal
from tframex.files._row import Row, content_key

__all__ = [
    "Journal",
    "LineFile",
    "PartialFile",
    "Row",
    "content_key",
    "count_lines",
    "is_in_use",
    "make_folder",
    "read_journal",
    "read_lines",
    "reported",
]
