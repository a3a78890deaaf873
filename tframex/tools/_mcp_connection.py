"""The connection to an MCP server, which one task owns from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from tframex._logging import get_logger
from tframex.errors import ToolServerError, WrongLoopError
from tframex.tasks import spawn
from tframex.tools._mcp_address import Address
from tframex.tools._mcp_session import Session

if TYPE_CHECKING:
    from mcp import types

__all__ = ["Connection"]

# Seconds that a server has to end by itself; a child process is killed before that.
_CLOSING = 15.0

log = get_logger("tframex.tools")


class Connection:
    """One session after the other with one server: one that ends is followed by another when it is needed.

    A session has task groups and scopes, which only the task that entered them may leave. So a task of its own enters and
    leaves it, and whoever wants something of it tells that task.

    Args:
        address: Where the server is.
        start_timeout: Seconds in which a session must have begun.
        listed: Called with the tools of the server, at the beginning and whenever they change.
    """

    def __init__(self, address: Address, start_timeout: float, listed: Callable[[list[types.Tool]], None]) -> None:
        self.shown = address.shown
        """What messages call the server."""
        self.instructions = ""
        """What the server says about its use."""
        self._address = address
        self._start_timeout = start_timeout
        self._listed = listed
        self._token: EventLoopToken = current_token()
        self._session: Session | None = None
        self._failure: Exception | None = None
        self._closing = False
        self._wanted = True
        self._over = anyio.Event()
        self._news = anyio.Event()
        self._task: object = None

    async def open(self) -> None:
        """Begin the first session.

        Raises:
            ToolServerError: The server cannot be started or reached.
            ConfigurationError: It has not the tools that are wanted.
        """
        self._task = spawn(self._own, self._end)
        try:
            await self.session()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session and its server, from whatever task."""
        if self._token.native_token is not current_token().native_token:
            raise self._wrong_loop()
        self._closing = True
        self._announce()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_CLOSING):
                await self._over.wait()
            if not self._over.is_set() and self._session is not None:
                self._session.scope.cancel()
                await self._over.wait()

    async def session(self) -> Session:
        """The session; another one where it has ended.

        Raises:
            ToolServerError: The server cannot be started again, or has ended again immediately.
            WrongLoopError: The connection belongs to another event loop.
        """
        if self._token.native_token is not current_token().native_token:
            raise self._wrong_loop()
        while True:
            found = self._session
            if self._failure is not None:
                raise self._failure
            if self._closing or self._over.is_set():
                raise ToolServerError(
                    f"the connection to the MCP server {self._address.shown} is closed; call its tools inside `async with`"
                )
            if found is not None and not found.ended:
                return found
            self._wanted = True
            self._announce()
            await self._news.wait()

    async def left(self, session: Session) -> None:
        """Have a session that has ended left by its owner, and wait for that."""
        session.ended = True
        self._announce()
        await session.left.wait()

    # -- the owner ---------------------------------------------------------------------------------------------------------

    async def _own(self) -> None:
        while await self._until(lambda: self._wanted or self._closing) and not self._closing:
            again, self._wanted = self._session is not None, False
            session = Session(self._address, self._announce)
            await self._hold(session)
            # One that has begun again and ends before it has answered anything would do so forever.
            if not self._closing and (not session.begun or (again and not session.answered)):
                self._failure = self._failure or session.failure(again)
                return

    def _end(self) -> None:
        self._over.set()
        self._announce()

    async def _hold(self, session: Session) -> None:
        """One session, from its beginning to its end."""
        try:
            with session.scope:
                session.scope.deadline = anyio.current_time() + self._start_timeout
                async with session.connected() as client, anyio.create_task_group() as group:
                    # Before the tools are listed: then no change is missed.
                    await group.start(session.listen)
                    tools = await session.tools()
                    session.scope.deadline = math.inf
                    self.instructions = client.instructions or ""
                    self._list(tools)
                    session.begun = self._failure is None
                    self._session = session
                    self._announce()
                    await self._serve(session)
                    group.cancel_scope.cancel()
            if session.scope.cancelled_caught and not session.begun:
                session.cause = TimeoutError(f"it was not ready within {self._start_timeout:g} seconds")
        except Exception as error:
            session.cause = error
        finally:
            session.finish()
            self._announce()

    async def _serve(self, session: Session) -> None:
        while await self._until(lambda: session.ended or session.stale or self._closing or self._failure):
            if session.ended or self._closing or self._failure:
                return
            session.stale = False
            self._list(await session.tools())

    def _list(self, tools: list[types.Tool]) -> None:
        try:
            self._listed(tools)
        except Exception as error:
            if self._session is not None:
                log.warning("tools of an MCP server not taken over", server=self._address.shown, error=str(error))
                return
            self._failure = error

    def _announce(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _until(self, true: Callable[[], Any]) -> bool:
        while not true():
            await self._news.wait()
        return True

    def _wrong_loop(self) -> WrongLoopError:
        return WrongLoopError(
            f"the MCP server {self._address.shown} was opened on another event loop; open it where its tools are called "
            "(tframex.sync.MCPTools for tframex.sync)"
        )
