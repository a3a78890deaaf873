"""A streamed answer, as it came."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2

from tframex.cli.doctor.target import Reply, Target, parsed

__all__ = ["Stream", "listen"]

_TOKENS = 128
# How the lines of an event stream begin.
_FIELDS = ("data:", ":", "event:", "id:", "retry:")
# The most lines that are read of a body that is not an event stream.
_LINES = 1000
# Options that can be left out of the request.
_OPTIONAL = ("stream_options", "max_tokens", "temperature", "return_token_ids")


@dataclass
class Stream:
    """A streamed answer, as it came.

    Attributes:
        text: Its content.
        thought: What came in a separate field.
        thought_field: The name of that field.
        finish_reason: Why it ended, if it said so.
        usage: What it says it took.
        token_ids: Whether it had the ids of its tokens.
        times: When each event with text came, in seconds after the request.
        reply: The reply, if it was not a stream.
        broken: How it broke, if it did.
        silent: Whether it fell silent.
        endless: Whether it continued long after `max_tokens`.
        refused: Options that the endpoint does not take.
    """

    text: str = ""
    thought: str = ""
    thought_field: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    token_ids: bool = False
    times: list[float] = field(default_factory=list)
    reply: Reply | None = None
    broken: str = ""
    silent: bool = False
    endless: bool = False
    refused: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all of it came, or more than was asked for."""
        return (self.finish_reason is not None or self.endless) and not self.broken and not self.silent

    @property
    def gaps(self) -> list[float]:
        """Seconds between events."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return bool(self.broken or self.endless)

    def take(self, line: str, seconds: float) -> None:
        """Note one event."""
        try:
            self._take(json.loads(line), seconds)
        except (ValueError, AttributeError, TypeError):
            self.broken = f"an event that is not understood: {line[:80]}"

    def _take(self, data: dict[str, Any], seconds: float) -> None:
        if data.get("error"):
            error = data["error"]
            self.broken = str(error.get("message") if isinstance(error, dict) else error)
            return
        usage = data.get("usage")
        self.usage = usage if isinstance(usage, dict) else self.usage
        self.token_ids = self.token_ids or bool(data.get("prompt_token_ids"))
        for choice in data.get("choices") or ():
            delta = choice.get("delta") or {}
            thought = next((name for name in ("reasoning", "reasoning_content") if delta.get(name)), "")
            if thought:
                self.thought_field, self.thought = thought, self.thought + delta[thought]
            self.text += delta.get("content") or ""
            if thought or delta.get("content"):
                self.times.append(seconds)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        # One that ignores max_tokens may never end.
        self.endless = len(self.times) > 4 * _TOKENS


async def listen(target: Target, **body: Any) -> Stream:
    """Ask for a streamed answer and note how it comes. Keep-alive comments are no sign of life.

    An option that the endpoint refuses is left out, and noted.
    """
    asked: dict[str, Any] = {"max_tokens": _TOKENS, "temperature": 0, **body}
    refused: list[str] = []
    while True:
        found = await _listen(target, asked)
        found.refused = refused
        if found.reply is None or found.reply.status not in (400, 422):
            return found
        name = next((name for name in _OPTIONAL if name in asked and name in found.reply.said), None)
        if name is None:
            return found
        value = asked.pop(name)
        refused.append(name)
        if name == "max_tokens":
            asked["max_completion_tokens"] = value


async def _listen(target: Target, body: dict[str, Any]) -> Stream:
    found = Stream()
    began = time.perf_counter()
    try:
        with anyio.CancelScope() as scope:
            scope.deadline = anyio.current_time() + target.seconds
            async with target.open(body) as response:
                if response.status_code != 200:
                    found.reply = _reply(response, await target.text(response))
                    return found
                lines = response.aiter_lines()
                line: str | None = await _first(lines)
                if line is not None and not line.startswith(_FIELDS):
                    found.reply = _reply(response, target.clean(await _whole(line, lines)))
                    return found
                # A server may keep the body open after the end of the answer.
                while line is not None and line[5:].strip() != "[DONE]" and not found.over:
                    if line.startswith("data:"):
                        found.take(target.clean(line[5:]), time.perf_counter() - began)
                        scope.deadline = anyio.current_time() + target.seconds
                    line = await anext(lines, None)
        found.silent = scope.cancelled_caught
    except httpx2.TimeoutException:
        found.silent = True
    except httpx2.HTTPError as exc:
        found.broken = target.clean(f"{type(exc).__name__}: {exc}")
    if not found.finish_reason and not found.over and not found.silent and found.reply is None:
        found.broken = "the body ended without a finish_reason"
    return found


async def _first(lines: AsyncIterator[str]) -> str | None:
    """The first line that is not empty."""
    async for line in lines:
        if line.strip():
            return line
    return None


async def _whole(first: str, lines: AsyncIterator[str]) -> str:
    """The beginning of a body that is not an event stream: enough to tell what it is."""
    found = [first]
    async for line in lines:
        found.append(line)
        if len(found) > _LINES:
            break
    return "\n".join(found)


def _reply(response: httpx2.Response, text: str) -> Reply:
    return Reply(response.status_code, response.headers, parsed(text), 0.0)
