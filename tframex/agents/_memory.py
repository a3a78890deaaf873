"""The memory of a conversation, and the turns that add to it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tframex.agents._conversation_file import ConversationFile
from tframex.agents._floor import Floor
from tframex.agents._turns import Turns
from tframex.agents.base import BaseAgent
from tframex.errors import ConfigurationError
from tframex.events import Event, RunFinished
from tframex.tasks import Closing

__all__ = ["Memory"]


class Memory:
    """What was said, in memory and in the file.

    Args:
        agent: Who answers.
        path: The file, or None.

    Attributes:
        turns: What was said.
    """

    def __init__(self, agent: BaseAgent, path: str | Path | None) -> None:
        _check_agent(agent)
        self._agent = agent
        self._file = None if path is None else ConversationFile(path, agent.agent_id)
        self.turns = Turns() if self._file is None else self._file.turns
        self._floor = Floor()
        self._closed = False

    async def keep(self, record: dict[str, Any]) -> None:
        """Change what was said, and save the change; in memory it is made in any case.

        Raises:
            OutputError: It cannot be saved now.
        """
        self.turns.apply(record)
        if self._file is None:
            return
        # A turn that has its answer is saved, also if it is cancelled in this moment.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._file.append, record)

    async def change(self, record: dict[str, Any]) -> None:
        """Like `keep`, for a change that is not part of a turn.

        Raises:
            ConfigurationError: A prompt is being answered.
            OutputError: It cannot be saved now.
        """
        changing = self._change(record)
        async with Closing(self.held(changing)) as events:
            async for _ in events:
                pass

    async def _change(self, record: dict[str, Any]) -> AsyncGenerator[Event, None]:
        await self.keep(record)
        yield RunFinished(None)

    def close(self) -> None:
        """Close the file, after which nothing can be said."""
        if self._file is not None:
            self._closed = True
            self._file.close()

    # -- turns -----------------------------------------------------------------------------------------------------------

    async def held(self, turn: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events of a turn, while no other one may begin.

        Raises:
            ConfigurationError: Another one is not over, or the file is closed.
        """
        if self._closed:
            assert self._file is not None
            raise ConfigurationError(
                f"the conversation in {self._file.path} is closed; nothing was sent. Open it with another Conversation."
            )
        await self._floor.take(turn)
        finished = False
        try:
            async with Closing(turn) as events:
                async for event in events:
                    finished = finished or isinstance(event, RunFinished)
                    yield event
        finally:
            self._floor.leave(turn)
        if not finished:
            raise ConfigurationError(
                "this stream was left before its end, and the next turn of the conversation has closed it; it has no more "
                "pieces"
            )


def _check_agent(agent: object) -> None:
    """Refuse an agent that would forget what was said."""
    if not isinstance(agent, BaseAgent):
        where = "; take both from tframex.sync" if type(agent).__module__.startswith("tframex.sync") else ""
        raise ConfigurationError(f"a conversation needs an agent, not {type(agent).__name__}{where}")
    for name in ("events", "run"):
        parameters = inspect.signature(getattr(agent, name)).parameters.values()
        if not any(found.name == "history" or found.kind is found.VAR_KEYWORD for found in parameters):
            raise ConfigurationError(
                f"{type(agent).__name__}.{name}() cannot be given what was said before the prompt: add **options to it, "
                "and pass them on to what it calls (the methods of its base class, or _stream_and_aggregate)"
            )
