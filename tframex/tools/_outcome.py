"""What became of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tframex.completion import ToolCall

__all__ = ["ToolOutcome"]


@dataclass(frozen=True)
class ToolOutcome:
    """What became of a call.

    Attributes:
        call: The call.
        content: The result, or what has gone wrong, as the text that the model reads.
        failed: Whether it is what has gone wrong.
        from_checkpoint: The tool was not called, since an earlier run had finished the call.
    """

    call: ToolCall
    content: str
    failed: bool = False
    from_checkpoint: bool = False

    def message(self) -> dict[str, Any]:
        """The message of the conversation that has the result."""
        return {"role": "tool", "tool_call_id": self.call.id, "content": self.content}
