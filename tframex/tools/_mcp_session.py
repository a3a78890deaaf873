"""One session with an MCP server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus

from tframex._logging import get_logger
from tframex.errors import ToolServerError
from tframex.tools._mcp_address import Address
from tframex.tools._mcp_output import ServerOutput
from tframex.tools._mcp_transport import transport

if TYPE_CHECKING:
    from mcp import Client, types

__all__ = ["Session"]

# A list that never ends would be read forever.
_PAGES = 100

log = get_logger("tframex.tools")


class Session:
    """One session: a child process, or a session over HTTP.

    Args:
        address: Where the server is.
        announce: Called when there is news.

    Attributes:
        scope: What its owner runs in.
        client: The official client.
        begun: Whether it has begun.
        ended: Whether it has ended, or is to end.
        stale: Whether the server has said that its tools have changed.
        answered: Whether it has answered a call.
        in_flight: How many calls are in flight.
        sent: How many calls have begun.
        cause: Why it has ended, if that is known.
        left: Set when its owner has left it.
    """

    def __init__(self, address: Address, announce: Callable[[], None]) -> None:
        self.scope = anyio.CancelScope()
        self.client: Client | None = None
        self.begun = self.ended = self.stale = self.answered = False
        self.in_flight = self.sent = 0
        self.cause: Exception | None = None
        self.left = anyio.Event()
        self._address = address
        self._announce = announce
        self._output = ServerOutput() if address.command else None
        self._status = 0
        self._said = ""

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client, None]:
        """The official client, connected."""
        from mcp import Client, types

        from tframex import __version__

        streams = transport(self._address, self._output, self._end, self._note_status)
        me = types.Implementation(name="tframex", version=__version__)
        async with Client(streams, client_info=me, message_handler=self._heard, cache=None) as self.client:
            yield self.client

    async def tools(self) -> list[types.Tool]:
        """The tools that the server lists now."""
        assert self.client is not None
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def listen(self, *, task_status: TaskStatus[None]) -> None:
        """Notice changes of the tools, where the protocol has a request for that (since 2026-07-28).

        Args:
            task_status: Told when every change from then on is heard of.
        """
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        assert self.client is not None
        offered = self.client.server_capabilities.tools
        if offered is None or not offered.list_changed:
            task_status.started()
            return
        heard = False
        try:
            async with self.client.listen(tools_list_changed=True) as changes:
                heard = True
                task_status.started()
                async for _ in changes:
                    self._change()
        except (ListenNotSupportedError, SubscriptionLost, MCPError) as error:
            log.debug("changes of an MCP server's tools are not heard of", server=self._address.shown, error=str(error))
            if not heard:
                task_status.started()

    def trim(self) -> None:
        """Empty the file of what the server has said, if it is long."""
        if self._output is not None:
            self._output.trim()

    def finish(self) -> None:
        """It has been left."""
        if self._output is not None:
            self._said = self._address.secrets.hide(self._output.end())
            self._output.close()
        self.ended = True
        self.left.set()

    @property
    def unreachable(self) -> bool:
        """Whether it has ended since the server was not there any more for its last request."""
        import httpx2

        return isinstance(_first(self.cause), (httpx2.ConnectError, httpx2.ConnectTimeout))

    def failure(self, again: bool) -> ToolServerError:
        """What is raised where the server cannot be started or reached, or has ended too often.

        Args:
            again: It was started again.
        """
        what = "could not be started" if self._address.command else "could not be reached"
        if self.begun:
            what = "has ended again before it had answered a call, and is not started a second time"
        elif again:
            what = f"has ended, and {what} again"
        error = ToolServerError(f"the MCP server {self._address.shown} {what}{self.why()}")
        if (cause := _first(self.cause)) is not None:
            self._address.secrets.clean(cause)
            error.__cause__ = cause
        return error

    def why(self) -> str:
        """What is known of its end, for a message."""
        cause = _first(self.cause)
        parts = []
        if self._status >= 400:
            hint = "; are its headers right?" if self._status in (401, 403) else ""
            parts.append(f"it answered with status {self._status}{hint}")
        elif cause is not None:
            text = self._address.secrets.hide(str(cause))
            parts.append(text if isinstance(cause, TimeoutError) else f"{type(cause).__name__}: {text}")
        if self._said:
            parts.append(f"its last words: {self._said}")
        return f" ({'; '.join(parts)})" if parts else ""

    def _end(self) -> None:
        self.ended = True
        self._announce()

    def _change(self) -> None:
        self.stale = True
        self._announce()

    def _note_status(self, status: int) -> None:
        self._status = status

    async def _heard(self, message: Any) -> None:
        from mcp import types

        if isinstance(message, types.ToolListChangedNotification):
            self._change()


def _first(error: BaseException | None) -> BaseException | None:
    """The error itself, out of the groups that task groups make."""
    while isinstance(inner := getattr(error, "exceptions", None), tuple) and inner:
        error = inner[0]
    return error
