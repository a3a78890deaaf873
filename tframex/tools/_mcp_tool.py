"""A tool of an MCP server as a tool of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import anyio

from tframex.errors import ToolServerError
from tframex.tools._context import ToolContext
from tframex.tools._failures import AskAgain, ToolFailure
from tframex.tools._mcp_connection import Connection
from tframex.tools._mcp_results import result_text
from tframex.tools._tool import Tool

if TYPE_CHECKING:
    from mcp import types

    from tframex.tools._mcp_session import Session

__all__ = ["name_for", "remote_tool"]

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 64
# Where a call carries its idempotency key, for servers that know it.
_KEY = "tframex/idempotency-key"


def name_for(name: str, prefix: str) -> str:
    """What the model calls a tool: the API takes fewer characters than MCP."""
    return _NOT_IN_A_NAME.sub("_", prefix + name)[:_LONGEST]


def remote_tool(
    listed: types.Tool, prefix: str, connection: Connection, timeout: float | None, settings: dict[str, Any]
) -> Tool[..., Any]:
    """A tool that calls the server.

    Args:
        listed: The tool as the server lists it.
        prefix: What its name begins with.
        connection: The connection.
        timeout: Seconds without a result and without progress.
        settings: Settings of the tool.

    Raises:
        ConfigurationError: Its schema is wrong.
    """
    again = settings.get("on_uncertain") in ("retry", "key")
    name = listed.name

    async def remote(context: ToolContext[Any], /, **arguments: Any) -> str:
        return await _Call(connection, name, arguments, context, timeout, again).run()

    description = listed.description or listed.title or ""
    return Tool.from_schema(name_for(name, prefix), description, listed.input_schema, remote, **settings)


class _Call:
    """One call, which may be sent twice."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        arguments: dict[str, Any],
        context: ToolContext[Any],
        timeout: float | None,
        again: bool,
    ) -> None:
        self._connection = connection
        self._name = name
        self._arguments = arguments
        self._context = context
        self._timeout = timeout
        self._again = again
        self._scope = anyio.CancelScope()

    async def run(self) -> str:
        """The result. Raises what a tool raises, and `ToolServerError` where the server has ended."""
        session = await self._connection.session()
        try:
            return result_text(await self._sent(session), self._name)
        except _EndedError as ended:
            if not (self._again or ended.unsent):
                raise self._uncertain(session) from session.cause
        # A new one, which cannot be begun without an answer a second time.
        session = await self._connection.session()
        try:
            return result_text(await self._sent(session), self._name)
        except _EndedError:
            raise self._uncertain(session) from session.cause

    async def _sent(self, session: Session) -> types.CallToolResult:
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, INVALID_REQUEST
        from pydantic import ValidationError

        assert session.client is not None
        session.trim()
        self._scope = anyio.CancelScope()
        alone = not session.in_flight
        session.in_flight += 1
        session.sent += 1
        number = session.sent
        meta: Any = {_KEY: self._context.key} if self._context.key else None
        try:
            with self._scope:
                self._begin_to_wait()
                result = await session.client.call_tool(
                    self._name, self._arguments, progress_callback=self._progress, meta=meta
                )
                session.answered = True
                return result
        except MCPError as error:
            closed = error.code == CONNECTION_CLOSED and (session.ended or error.message == "Connection closed")
            # The answer to this call: the session is forgotten.
            forgotten = error.code == INVALID_REQUEST and error.message == "Session terminated"
            if closed or forgotten:
                await self._connection.left(session)
                # Where there are several, it is unknown which of them did not arrive.
                alone = alone and session.sent == number
                raise _EndedError(forgotten or (alone and session.unreachable)) from error
            session.answered = True
            kind = AskAgain if error.code == INVALID_PARAMS else ToolFailure
            raise kind(f"{self._name}: {error.message}") from error
        except (RuntimeError, ValidationError) as error:
            # The official client validates what a server returns by the server's own schema.
            session.answered = True
            raise ToolFailure(
                f"{self._name} was called, and its result is not of the form that its server describes"
            ) from error
        finally:
            session.in_flight -= 1
        raise ToolFailure(
            f"{self._name} did not answer within {self._timeout:g} seconds. Its server was told to stop; the call may "
            "still take effect."
        )

    def _begin_to_wait(self) -> None:
        if self._timeout is not None:
            self._scope.deadline = anyio.current_time() + self._timeout

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        self._begin_to_wait()
        self._context.progress(message or (f"{progress:g}" if total is None else f"{progress:g} of {total:g}"))

    def _uncertain(self, session: Session) -> ToolServerError:
        return ToolServerError(
            f"the MCP server {self._connection.shown} has ended in the middle of a call of {self._name}{session.why()}, so "
            "that it is unknown whether the call has taken effect. A tool that may be called twice can say so: "
            'MCPTools(..., on_uncertain={"' + self._name + '": "retry"}).',
        )


class _EndedError(Exception):
    """The server has ended before it has answered.

    Args:
        unsent: Whether the call cannot have arrived.
    """

    def __init__(self, unsent: bool) -> None:
        super().__init__(unsent)
        self.unsent = unsent
