"""The conversation of a run that calls tools."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tframex._types import Message
from tframex.completion import Completion, ToolCall
from tframex.tokens import text_of

__all__ = ["ToolHistory", "is_object"]

# What the API takes as a name.
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_SHORT = 240
_LEFT_OUT = "[The beginning of this conversation was left out to save space.]\n\n"
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

    def asked(self, text: str) -> None:
        """Add what the user says. Some chat templates refuse two messages of the user in a row: they become one."""
        if self.messages and self.messages[-1].get("role") == "user" and isinstance(self.messages[-1]["content"], str):
            last = self.messages[-1]
            self.messages[-1] = self.sent[-1] = {**last, "content": f"{last['content']}\n\n{text}"}
        else:
            self.add({"role": "user", "content": text})

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

    def condense(self, part: float) -> bool:
        """Shorten results and long arguments that are sent: the oldest first, results of the last answer by half.

        Where all are short, the oldest messages before the last question and the oldest calls after it are left out.

        Args:
            part: How much of the conversation has to go.

        Returns:
            Whether anything could be shortened or left out.
        """
        before = excess = sum(len(text_of(message)) for message in self.sent) * min(1.0, part)
        for position, message in enumerate(self.sent):
            if excess <= 0:
                break
            latest = position >= self._latest
            if message.get("role") == "tool":
                shorter = _shorter_result(message, latest)
            elif message.get("tool_calls"):
                shorter = _shorter_calls(message)
            else:
                continue
            excess -= len(text_of(message)) - len(text_of(shorter))
            self.sent[position] = shorter
        while excess > 0 and (left_out := self._leave_out()):
            excess -= left_out
        return excess < before

    def _leave_out(self) -> int:
        """Leave out the oldest message that can be, with the results of its calls. Returns how many characters it had."""
        question = max(at for at, message in enumerate(self.sent) if message["role"] == "user")
        first = next((at for at in range(self._latest) if at != question and self.sent[at]["role"] != "system"), None)
        if first is None:
            return 0
        end = first + 1
        while end < self._latest and self.sent[end]["role"] == "tool":
            end += 1
        asked = self.sent[question]
        if isinstance(asked["content"], str) and not asked["content"].startswith(_LEFT_OUT):
            self.sent[question] = {**asked, "content": _LEFT_OUT + asked["content"]}
        characters = sum(len(text_of(message)) + 1 for message in self.sent[first:end])
        del self.sent[first:end]
        self._latest -= end - first
        return characters


def is_object(arguments: str) -> bool:
    """Whether the text is one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.MsgspecError, ValueError):
        return False


def _shorter_result(message: Message, latest: bool) -> Message:
    content = str(message["content"]).removesuffix(_CONDENSED)
    kept = max(_SHORT, len(content) // 2) if latest else _SHORT
    if len(content) <= kept + 2 * len(_CONDENSED):
        return message
    return {**message, "content": content[:kept] + _CONDENSED}


def _shorter_calls(message: Message) -> Message:
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        if len(function["arguments"]) > 2 * _SHORT:
            # Still a JSON object, which is all that a server asks of it.
            arguments = json.dumps({"shortened": function["arguments"][:_SHORT]}, ensure_ascii=False)
            call = {**call, "function": {**function, "arguments": arguments}}
        calls.append(call)
    return {**message, "tool_calls": calls}


def _called(call: ToolCall) -> dict[str, Any]:
    """A call as the API takes it back. A server parses the arguments, and refuses what is no JSON."""
    arguments = call.arguments
    if not arguments.strip():
        arguments = "{}"
    elif not is_object(arguments):
        arguments = json.dumps({"unreadable": arguments})
    name = _NOT_IN_A_NAME.sub("_", call.name)[:64] or "unknown"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}
