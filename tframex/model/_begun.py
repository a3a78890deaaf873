"""Old names, until the systems use the new ones."""

from tframex.model._partial_answer import PartialAnswer as Begun
from tframex.model._partial_answer import can_continue as can_go_on
from tframex.model._partial_answer import stream_from as going_on

__all__ = ["Begun", "can_go_on", "going_on"]
