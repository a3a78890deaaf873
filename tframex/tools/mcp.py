"""The tools of an MCP server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex._logging import get_logger
from tframex.errors import ConfigurationError
from tframex.tools._mcp_address import Address
from tframex.tools._mcp_connection import Connection
from tframex.tools._mcp_tool import remote_tool
from tframex.tools._mcp_transport import check_installed
from tframex.tools._settings import OnUncertain, checked_policy, checked_timeout
from tframex.tools._tool import Tool
from tframex.tools._toolset import Toolset

if TYPE_CHECKING:
    from mcp import types
    from typing_extensions import Self

__all__ = ["MCPTools"]

log = get_logger("tframex.tools")


class MCPTools(Toolset):
    """The tools of a server that speaks the Model Context Protocol, while it is open: `async with MCPTools(...) as tools`.

    The server is a command, which is started as a child process and spoken to over its standard input and output, or the
    URL of one that serves "streamable HTTP". It needs the official package: `pip install "tframex[mcp]"`.

    The tools are those the server lists, and change when it says so: an agent's next run has the new ones. A server that
    ends is started again when a tool is called, once: one that ends again before it has answered is given up. A call in
    the middle of which it ends is sent again where `on_uncertain` allows it; otherwise the run ends with a `ToolError`,
    since the call may have taken effect. It may be closed by another task than the one that has opened it.

    Args:
        server: A command (`"npx -y @modelcontextprotocol/server-everything"`, or its words as a list), or a URL.
        headers: Headers for a URL, such as `{"Authorization": "Bearer ..."}`. They are in no message.
        env: Environment variables for a command, whose values are in no message. A server gets these and `PATH`, `HOME` and
            the like, and nothing else of this program's environment.
        cwd: The folder in which a command runs.
        prefix: What the names of all tools begin with, where two servers have tools of the same name.
        only: The tools to take, by the server's names, or a function of a name. None takes all.
        timeout: Seconds that a call may take without a result and without progress; None is no limit. The server is told to
            stop, and the model that it did not answer.
        start_timeout: Seconds until the server must be ready. `npx` may have to download it first.
        approve: Whether a person has to approve calls: of all tools, or of those with these names.
        on_uncertain: What to do about a call that was interrupted (see `Tool`): for all tools, or by their names.
        max_result_tokens: The tokens that a result may have.

    Attributes:
        instructions: What the server says about its use, for a system prompt; empty if it says nothing.

    Raises:
        ConfigurationError: An argument is wrong, the official package is not installed, or a tool of `only` is not there.
        ToolServerError: The server cannot be started or reached.
    """

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
        super().__init__()
        self._address = Address(server, headers, env, cwd)
        if isinstance(only, str):
            raise ConfigurationError(f"only must be a list of names, or a function of a name, not {only!r}")
        self._prefix = prefix
        self._only = only
        self._timeout = checked_timeout(timeout)
        self._start_timeout = checked_timeout(start_timeout) or 60
        self._approve = approve
        for policy in on_uncertain.values() if isinstance(on_uncertain, Mapping) else [on_uncertain]:
            checked_policy(policy)
        self._on_uncertain = on_uncertain
        self._max_result_tokens = max_result_tokens
        self._connection: Connection | None = None

    @property
    def instructions(self) -> str:
        """What the server says about its use, for a system prompt; empty if it says nothing."""
        return "" if self._connection is None else self._connection.instructions

    async def open(self) -> None:
        """Start or reach the server, as `async with` does.

        Raises:
            ConfigurationError: It is open already, the official package is not installed, or a tool of `only` is not there.
            ToolServerError: The server cannot be started or reached.
        """
        if self._connection is not None:
            raise ConfigurationError(f"{self!r} is open already; make another for a second connection")
        check_installed()
        self._connection = Connection(self._address, self._start_timeout, self._take)
        try:
            await self._connection.open()
        except BaseException:
            self._connection = None
            raise

    async def close(self) -> None:
        """End the connection, and a server that was started; `async with` does that. It may be opened again."""
        connection, self._connection, self._own = self._connection, None, {}
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"MCPTools({self._address.shown!r})"

    def _by_name(self) -> Mapping[str, Tool[..., Any]]:
        if self._connection is None:
            raise ConfigurationError(
                f"{self!r} is not open; its tools are there inside `async with MCPTools(...) as tools:`"
            )
        return self._own

    def _take(self, listed: list[types.Tool]) -> None:
        """Take the tools that the server lists."""
        assert self._connection is not None
        only = self._only
        if only is not None and not callable(only):
            missing = sorted(set(only) - {tool.name for tool in listed})
            if missing:
                there = ", ".join(tool.name for tool in listed) or "none"
                raise ConfigurationError(f"{self!r} has no tool {', '.join(missing)}; its tools are: {there}")
        found: dict[str, Tool[..., Any]] = {}
        for tool in listed:
            if only is not None and not (only(tool.name) if callable(only) else tool.name in only):
                continue
            try:
                made = remote_tool(tool, self._prefix, self._connection, self._timeout, self._settings(tool.name))
            except ConfigurationError as error:
                # One that is wrong is no reason to do without the others.
                log.warning(
                    "tool of an MCP server left out", server=self._address.shown, tool=tool.name, error=str(error)
                )
                continue
            if made.name in found:
                raise ConfigurationError(
                    f"two tools of {self!r} would have the name {made.name!r}; leave one out with only="
                )
            found[made.name] = made
        self._own = found

    def _settings(self, name: str) -> dict[str, Any]:
        policy = self._on_uncertain
        approve = self._approve
        return {
            "on_uncertain": policy.get(name, "ask") if isinstance(policy, Mapping) else policy,
            "approve": approve if isinstance(approve, bool) else name in approve,
            "max_result_tokens": self._max_result_tokens,
        }
