"""A streamed answer, as it came."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2

from tframex.cli.doctor.target import Reply, Target, body_of

__all__ = ["Stream", "listen"]

_TOKENS = 128


@dataclass
class Stream:
    """A streamed answer, as it came.

    Attributes:
        text: Its content.
        thought: What came in a field of its own.
        thought_field: The name of that field.
        finish_reason: Why it ended, if it said so.
        usage: What it says it took.
        token_ids: Whether it had the ids of its tokens.
        times: When each event with text came, in seconds after the request.
        reply: The reply, if it was not a stream.
        broken: How it broke, if it did.
        silent: Whether it fell silent.
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

    @property
    def whole(self) -> bool:
        """Whether it is known to be complete."""
        return self.finish_reason is not None and not self.broken and not self.silent

    @property
    def gaps(self) -> list[float]:
        """Seconds between events."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def take(self, data: dict[str, Any], seconds: float) -> None:
        """Note one event."""
        if data.get("error"):
            error = data["error"]
            self.broken = str(error.get("message") if isinstance(error, dict) else error)
            return
        self.usage = data.get("usage") or self.usage
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


async def listen(target: Target, **body: Any) -> Stream:
    """Ask for a streamed answer and note how it comes. Keep-alive comments are no sign of life."""
    found = Stream()
    began = time.perf_counter()
    try:
        with anyio.CancelScope() as scope:
            scope.deadline = anyio.current_time() + target.seconds
            async with target.open({"max_tokens": _TOKENS, "temperature": 0, **body}) as response:
                if "event-stream" not in response.headers.get("content-type", ""):
                    await response.aread()
                    found.reply = Reply(response.status_code, response.headers, body_of(response), 0.0)
                    return found
                async for line in response.aiter_lines():
                    if line.startswith("data:") and line[5:].strip() != "[DONE]":
                        try:
                            found.take(json.loads(line[5:]), time.perf_counter() - began)
                        except (ValueError, AttributeError, TypeError):
                            found.broken = f"an event that is not understood: {line[:80]}"
                            return found
                        scope.deadline = anyio.current_time() + target.seconds
        found.silent = scope.cancelled_caught
    except httpx2.TimeoutException:
        found.silent = True
    except httpx2.HTTPError as exc:
        found.broken = f"{type(exc).__name__}: {exc}"
    if not found.finish_reason and not found.broken and not found.silent:
        found.broken = "the body ended without a finish_reason"
    return found
