"""What a tool is told of the run it is called in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from tframex.completion import ToolCall

if TYPE_CHECKING:
    # A parameter that is optional: `ToolContext` alone is `ToolContext[Any]`.
    from typing_extensions import TypeVar

    DepsT = TypeVar("DepsT", default=Any)
else:
    from typing import TypeVar

    DepsT = TypeVar("DepsT")

__all__ = ["ToolContext"]


@dataclass(frozen=True)
class ToolContext(Generic[DepsT]):
    """The run that a tool is called in. A function gets it through a parameter with this annotation, hidden from the model.

    `ToolContext[Database]` says what `deps` is. In a test of a tool, make one: `ToolContext(deps=database)`.

    Attributes:
        deps: What was given to the run as `deps`: connections, settings, the user who asks.
        run_id: The run. A run that is continued from its checkpoint keeps it.
        step: Which step of the run has asked for the call.
        key: The idempotency key of the call, for services that take one. It was written down before the call began, and
            is the same when the call is repeated after a kill.
        call: The call as the model wrote it.
        arguments: Its arguments, validated.
    """

    deps: DepsT = None  # type: ignore[assignment] # none were given
    run_id: str = ""
    step: str = ""
    key: str = ""
    call: ToolCall = field(default_factory=lambda: ToolCall(0))
    arguments: Mapping[str, Any] = field(default_factory=dict)
    _report: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    def progress(self, text: str) -> None:
        """Report how far the tool is, as an event of the run (`ToolProgress`). It may be called from any thread.

        Args:
            text: For people to read; the model does not see it.
        """
        if self._report is not None:
            self._report(text)
