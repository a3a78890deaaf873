"""Text: where it may be cut, how many tokens it has, which part of it is a thought or a JSON value, whether it loops."""

from tframex.text._boundaries import Boundaries, grapheme_end, grapheme_start
from tframex.text._growing_json import GrowingJSON
from tframex.text._repetition import RepetitionGuard
from tframex.text._tally import Tally
from tframex.text._thinking import ThoughtFilter, strip_thinking

__all__ = [
    "Boundaries",
    "GrowingJSON",
    "RepetitionGuard",
    "Tally",
    "ThoughtFilter",
    "grapheme_end",
    "grapheme_start",
    "strip_thinking",
]
