"""Tools: typed functions that a model can call."""

from tframex.tools._calls import distinct_calls
from tframex.tools._context import ToolContext
from tframex.tools._decorator import tool
from tframex.tools._failures import AskAgain, ToolFailure
from tframex.tools._outcome import ToolOutcome
from tframex.tools._pending import PendingCall, approve, deny, pending_calls, resolve
from tframex.tools._recorder import CallRecorder, Recalled
from tframex.tools._run_journal import RunJournal
from tframex.tools._run_record import RecordedAnswer, RecordedResult, RunRecord, read_run
from tframex.tools._settings import OnUncertain
from tframex.tools._tool import Tool
from tframex.tools._toolset import Toolset
from tframex.tools.mcp import MCPTools

__all__ = [
    "AskAgain",
    "CallRecorder",
    "MCPTools",
    "OnUncertain",
    "PendingCall",
    "Recalled",
    "RecordedAnswer",
    "RecordedResult",
    "RunJournal",
    "RunRecord",
    "Tool",
    "ToolContext",
    "ToolFailure",
    "ToolOutcome",
    "Toolset",
    "approve",
    "deny",
    "distinct_calls",
    "pending_calls",
    "read_run",
    "resolve",
    "tool",
]
