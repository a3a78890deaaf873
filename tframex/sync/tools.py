"""`tframex.tools` without `await`. A tool is the same in both colours; a connection to a server is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex import tools as _tools
from tframex.completion import ToolCall
from tframex.events import Event
from tframex.sync import _bridge
from tframex.sync._facade import Facade, mirrors
from tframex.tools import CallRecorder, OnUncertain, Tool, ToolOutcome

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MCPTools", "plain"]


@mirrors(_tools.MCPTools)
class MCPTools(Facade):
    _async: _tools.MCPTools

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        headers: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        prefix: str = "",
        only: Collection[str] | Callable[[str], bool] | None = None,
        timeout: float | None = 60,
        start_timeout: float = 60,
        approve: bool | Collection[str] = False,
        on_uncertain: OnUncertain | Mapping[str, OnUncertain] = "ask",
        max_result_tokens: int | None = None,
    ) -> None:
        self._async = _tools.MCPTools(
            server,
            headers=headers,
            env=env,
            cwd=cwd,
            prefix=prefix,
            only=only,
            timeout=timeout,
            start_timeout=start_timeout,
            approve=approve,
            on_uncertain=on_uncertain,
            max_result_tokens=max_result_tokens,
        )

    @property
    def instructions(self) -> str:
        return self._async.instructions

    @property
    def names(self) -> list[str]:
        return self._async.names

    def open(self) -> None:
        _bridge.run(self._async.open)

    def close(self) -> None:
        _bridge.run(self._async.close)

    def definitions(self) -> list[dict[str, Any]]:
        return self._async.definitions()

    def get(self, name: str) -> Tool[..., Any] | None:
        return self._async.get(name)

    def run(
        self,
        calls: Sequence[ToolCall],
        *,
        deps: Any = None,
        run_id: str = "",
        step: str = "answer",
        recorder: CallRecorder | None = None,
        emit: Callable[[Event], None] | None = None,
    ) -> list[ToolOutcome]:
        asked: Any = {"deps": deps, "run_id": run_id, "step": step, "recorder": recorder, "emit": emit}
        return _bridge.run(lambda: self._async.run(calls, **asked))

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._async)

    def __len__(self) -> int:
        return len(self._async)

    def __contains__(self, name: object) -> bool:
        return name in self._async


def plain(tools: Any) -> Any:
    """The tools as the asynchronous classes take them."""
    if isinstance(tools, MCPTools):
        return tools._async
    if isinstance(tools, (list, tuple)):
        return [tool._async if isinstance(tool, MCPTools) else tool for tool in tools]
    return tools
