"""The tools of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tframex.completion import ToolCall
from tframex.errors import ConfigurationError
from tframex.events import Event
from tframex.tools._calls import distinct_calls, identity
from tframex.tools._outcome import ToolOutcome
from tframex.tools._recorder import CallRecorder
from tframex.tools._running import RunningCalls
from tframex.tools._tool import Tool

__all__ = ["Toolset"]


class Toolset:
    """The tools that a model may call, by their names.

    Args:
        tools: Typed functions, tools, and other toolsets, such as `MCPTools`.

    Raises:
        ConfigurationError: Two have the same name, or one is none that a model can call.
    """

    def __init__(self, tools: Iterable[Tool[..., Any] | Callable[..., Any] | Toolset] = ()) -> None:
        if callable(tools) or isinstance(tools, str):
            raise ConfigurationError(f"tools must be a list of functions and tools, not {tools!r}")
        self._own: dict[str, Tool[..., Any]] = {}
        # Their tools may change.
        self._parts: list[Toolset] = []
        seen: set[str] = set()
        for given in tools:
            if isinstance(given, Toolset):
                self._parts.append(given)
            names = given.names if isinstance(given, Toolset) else [self._add(given)]
            for name in names:
                if name in seen:
                    raise ConfigurationError(
                        f"two tools have the name {name!r}, and the model could not tell them apart; rename one with "
                        'tool(name="...")'
                    )
                seen.add(name)

    def _add(self, given: Tool[..., Any] | Callable[..., Any]) -> str:
        made: Tool[..., Any] = given if isinstance(given, Tool) else Tool(given)
        self._own.setdefault(made.name, made)
        return made.name

    def _by_name(self) -> Mapping[str, Tool[..., Any]]:
        if not self._parts:
            return self._own
        found: dict[str, Tool[..., Any]] = {}
        for part in self._parts:
            found.update(part._by_name())
        return found | self._own

    def definitions(self) -> list[dict[str, Any]]:
        """The tools as the Chat Completions API takes them."""
        return [tool.definition() for tool in self]

    def get(self, name: str) -> Tool[..., Any] | None:
        """The tool with a name, or None.

        Args:
            name: What the model calls it.
        """
        return self._by_name().get(name)

    @property
    def names(self) -> list[str]:
        """The names of the tools."""
        return list(self._by_name())

    async def run(
        self,
        calls: Sequence[ToolCall],
        *,
        deps: Any = None,
        run_id: str = "",
        step: str = "answer",
        recorder: CallRecorder | None = None,
        emit: Callable[[Event], None] | None = None,
    ) -> list[ToolOutcome]:
        """Run the calls of one answer concurrently, and return what became of each, in their order.

        What the model can put right is an outcome that says so: an unknown tool, arguments that do not fit, a tool that
        takes too long or raises `AskAgain` or `ToolFailure`. A call that is sent twice runs once (see `distinct_calls`).

        Args:
            calls: The calls.
            deps: What the tools get as `ToolContext.deps`.
            run_id: The run, for `ToolContext.run_id`.
            step: Which step of the run has asked for them.
            recorder: Where they are written down.
            emit: Receives the events `ToolStarted`, `ToolProgress` and `ToolResult`, on the event loop.

        Raises:
            ToolError: A tool raised another exception; the others were stopped.
            ApprovalNeeded: Calls wait for a person; nothing has run.
            UncertainCallError: An earlier run was killed in the middle of a call whose tool does not say what to do then.
        """
        distinct = distinct_calls(calls)
        running = RunningCalls(self, deps, run_id, step, recorder or CallRecorder(), emit)
        outcomes = await running.run(distinct)
        if len(distinct) == len(calls):
            return outcomes
        rest = iter(outcomes)
        seen: dict[tuple[str, str, str], ToolOutcome] = {}
        results: list[ToolOutcome] = []
        for call in calls:
            outcome = seen.get(identity(call)) if call.id else None
            results.append(next(rest) if outcome is None else outcome)
            seen[identity(call)] = results[-1]
        return results

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._by_name().values())

    def __len__(self) -> int:
        return len(self._by_name())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name()

    def __repr__(self) -> str:
        return f"Toolset({', '.join(self._by_name())})"
