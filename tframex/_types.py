"""Types that every layer shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

__all__ = ["Message", "Messages", "ReasoningMode", "ResumeMode"]

Message: TypeAlias = Mapping[str, Any]
"""One chat message as the Chat Completions API takes it: `{"role": ..., "content": ...}`."""

Messages: TypeAlias = Sequence[Message]
"""A conversation, oldest message first."""

ReasoningMode: TypeAlias = Literal["inline", "separate", "drop"]
"""Where a server's separate reasoning text goes: into the text between `<think>` tags, to its own field, or nowhere."""

ResumeMode: TypeAlias = Literal["auto", "never"]
"""Whether an answer that breaks off is continued."""
