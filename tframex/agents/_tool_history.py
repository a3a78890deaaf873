"""The conversation of a run that calls tools."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tframex._types import Message
from tframex.completion import Completion, ToolCall

__all__ = ["ToolHistory", "is_object"]

# What the API takes as a name.
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_SHORT = 240
_CONDENSED = "\n[Shortened to save space: the beginning of the result. Call the tool again if you need more of it.]"


class ToolHistory:
    """What has been said, and what of it is sent.

    A call is added together with its result, so that the conversation can be sent again at any time: an API refuses calls
    without results.

    Args:
        system_prompt: The system message; it is not part of `messages`.
        messages: The conversation so far; what happens is added to it.

    Attributes:
        messages: The conversation, complete.
        sent: What is sent of it: with the system prompt, old results shortened where the window is full.
    """

    def __init__(self, system_prompt: str | None, messages: list[Message]) -> None:
        self.messages = messages
        self.sent: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt else []
        self.sent += messages
        self._latest = len(self.sent)

    @property
    def ids(self) -> set[str]:
        """The ids of all calls."""
        return {call["id"] for message in self.messages for call in message.get("tool_calls") or () if "id" in call}

    def add(self, *messages: Message) -> None:
        """Add what was said."""
        self.messages += messages
        self.sent += messages

    def answered(self, completion: Completion) -> None:
        """Add an answer without calls."""
        self.add({"role": "assistant", "content": completion.text})

    def called(self, text: str, calls: Sequence[ToolCall], results: Sequence[str]) -> None:
        """Add an answer with calls, and the results of all of them."""
        self._latest = len(self.sent)
        self.add(
            # Empty instead of None: some chat templates add it to a text.
            {"role": "assistant", "content": text, "tool_calls": [_called(call) for call in calls]},
            *(
                {"role": "tool", "tool_call_id": call.id, "content": result}
                for call, result in zip(calls, results, strict=True)
            ),
        )

    def condense(self, tokens: int, characters: float) -> bool:
        """Shorten results that are sent: the oldest first, those of the last answer at the end and by half.

        Args:
            tokens: How many tokens have to go.
            characters: How many characters a token has.

        Returns:
            Whether anything could be shortened.
        """
        excess = tokens * characters
        before = excess
        for position, message in enumerate(self.sent):
            if excess <= 0:
                return True
            if message.get("role") == "tool":
                latest = position >= self._latest
                content = str(message["content"])
                kept = max(_SHORT, len(content) // 2) if latest else _SHORT
                if len(content) > kept + 2 * len(_CONDENSED):
                    self.sent[position] = {**message, "content": content[:kept] + _CONDENSED}
                    excess -= len(content) - kept - len(_CONDENSED)
        return excess < before


def is_object(arguments: str) -> bool:
    """Whether the text is one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.MsgspecError, ValueError):
        return False


def _called(call: ToolCall) -> dict[str, Any]:
    """A call as the API takes it back. A server parses the arguments, and refuses what is no JSON."""
    arguments = call.arguments
    if not arguments.strip():
        arguments = "{}"
    elif not is_object(arguments):
        arguments = json.dumps({"unreadable": arguments})
    name = _NOT_IN_A_NAME.sub("_", call.name)[:64] or "unknown"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}
