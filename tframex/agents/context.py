"""An agent that answers on the basis of a text."""

from __future__ import annotations

from tframex._types import Message, Messages
from tframex.agents.base import check_prompt
from tframex.agents.basic import BasicAgent
from tframex.model import BaseModel

__all__ = ["ContextAgent"]


class ContextAgent(BasicAgent):
    """Puts its context before every prompt.

    The context comes first and never changes, so that a server with prefix caching reads it once.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.
        context: The text to answer from.
        system_prompt: Instructions that are sent before every prompt, as a system message.

    Raises:
        ConfigurationError: The context is empty.
    """

    def __init__(self, agent_id: str, model: BaseModel, context: str, *, system_prompt: str | None = None) -> None:
        super().__init__(agent_id, model, system_prompt=system_prompt)
        self.context = check_prompt(context, "context")

    def build_messages(self, prompt: str) -> list[Message]:
        """The messages that are sent for `prompt`, the context included."""
        return super().build_messages(f"Context:\n{self.context}\n\n{check_prompt(prompt)}")

    def build_conversation(self, prompt: str, history: Messages) -> list[Message]:
        """The messages that are sent for `prompt` after what was said before it; the context is in the first of them.

        Args:
            prompt: What to do.
            history: The conversation before it, oldest message first.
        """
        first = history[0].get("content") if history and history[0].get("role") == "user" else None
        if (
            not isinstance(first, str)
            or not first.strip()
            or type(self).build_messages is not ContextAgent.build_messages
        ):
            return super().build_conversation(prompt, history)
        return [*self.build_messages(first), *history[1:], {"role": "user", "content": check_prompt(prompt)}]
