"""Why a local server could not be started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tframex.errors import LocalServerError

__all__ = ["exit_note", "first_line", "start_failure"]

_ILLEGAL_INSTRUCTION = (-4, 0xC000001D, -0x3FFFFFE3)


def start_failure(code: int, log: str, said: str, config: Mapping[str, Any]) -> LocalServerError:
    """The error for a child process that has ended.

    Args:
        code: Its exit code.
        log: What it wrote to standard error.
        said: The error that it reported.
        config: Its settings.
    """
    port = config["port"]
    if "couldn't bind" in log:
        return LocalServerError(f"port {port} is in use; give another one, or port=0 for a free one")
    if code in _ILLEGAL_INSTRUCTION:
        return LocalServerError(
            "this processor is too old for the packaged llama.cpp (illegal instruction). Use a remote endpoint, or "
            "build xllamacpp from source: pip install --no-binary xllamacpp xllamacpp"
        )
    if "ImportError" in said:
        return LocalServerError(
            f"llama.cpp cannot be loaded ({said}). It needs the OpenMP runtime; on Debian and Ubuntu: "
            "apt-get install libgomp1"
        )
    if "insufficient memory" in log or "kv cache" in log or "bad_alloc" in log:
        return LocalServerError(
            f"not enough memory for {config['slots']} slots of {config['context_window']} tokens; lower "
            "context_window or slots"
        )
    if "error loading model" in log or "gguf_init" in log:
        return LocalServerError(f"the model file is damaged or not supported: {first_line(log)}")
    return LocalServerError(f"the local server could not be started{exit_note(code, first_line(log) or said)}")


def exit_note(code: int | None, reason: str) -> str:
    """How it ended, in parentheses."""
    return f" (exit code {code}{f': {reason}' if reason else ''})"


def first_line(log: str) -> str:
    """The first error line: llama.cpp names the cause first and then all that follows from it."""
    return next((line.strip() for line in log.splitlines() if line.strip()), "")
