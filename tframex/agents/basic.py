"""An agent that passes its prompt to the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from tframex._types import Message
from tframex.agents.base import BaseAgent, check_prompt
from tframex.completion import Completion, Delta
from tframex.model._fit import fitted
from tframex.model.base import BaseModel
from tframex.tasks import Closing

__all__ = ["BasicAgent"]


class BasicAgent(BaseAgent):
    """Sends a prompt and returns the model's answer.

    A subclass that overrides `build_messages` has all of `run`, `stream`, `complete` and `stream_to_file`.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.
        system_prompt: Instructions that go before every prompt.
    """

    def __init__(self, agent_id: str, model: BaseModel, *, system_prompt: str | None = None) -> None:
        super().__init__(agent_id, model)
        self.system_prompt = system_prompt

    def build_messages(self, prompt: str) -> list[Message]:
        """The messages that are sent for `prompt`."""
        user: Message = {"role": "user", "content": check_prompt(prompt)}
        return [{"role": "system", "content": self.system_prompt}, user] if self.system_prompt else [user]

    async def run(self, prompt: str, **options: Any) -> str:
        """The answer to `prompt`.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            ModelError: The model could not answer.
        """
        return await self._stream_and_aggregate(self.build_messages(prompt), **options)

    async def complete(self, prompt: str, **options: Any) -> Completion:
        """The answer to `prompt` with its usage and how it came about.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ContextLengthError: The prompt does not fit into the context window; nothing was sent.
            ModelError: The model could not answer.
        """
        messages = self.build_messages(prompt)
        return await self.model.call(messages, **await fitted(self.model, messages, options))

    async def _events(self, prompt: str, **options: Any) -> AsyncGenerator[Delta | Completion, None]:
        messages = self.build_messages(prompt)
        async with Closing(self.model.stream(messages, **await fitted(self.model, messages, options))) as events:
            async for event in events:
                yield event
