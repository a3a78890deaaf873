"""What a person types, or a program pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress

from tframex.errors import ConfigurationError

__all__ = ["Lines"]

_PROMPT, _MORE = "> ", ". "


class Lines:
    """Reads prompts: on a terminal with editing, the arrow keys for earlier ones, and a line that ends with a backslash
    continued in the next.

    Args:
        words: What the tab key completes.

    Attributes:
        interactive: Whether a person types them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.interactive = sys.stdin is not None and sys.stdin.isatty()
        self._edited = self.interactive and sys.stdout.isatty()
        if self._edited:
            _complete(sorted(words))

    def read(self) -> str | None:
        """The next prompt, or None at the end.

        Raises:
            ConfigurationError: It is not UTF-8.
        """
        if not self.interactive:
            return _piped()
        lines: list[str] = []
        while True:
            line = self._line(_MORE if lines else _PROMPT)
            if line is None:
                return "\n".join(lines) if lines else None
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])

    def confirm(self, question: str) -> bool:
        """Whether a person says yes."""
        return (self._line(f"{question} [y/N] ") or "").strip().lower() in ("y", "yes")

    def _line(self, prompt: str) -> str | None:
        if self._edited:
            try:
                return input(prompt)
            except EOFError:
                return None
        # The output is not the terminal's.
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None


def _piped() -> str | None:
    data = b"" if sys.stdin is None else sys.stdin.buffer.readline()
    try:
        return data.decode("utf-8-sig").rstrip("\r\n") if data else None
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"standard input is not UTF-8 text ({exc}); convert it first") from None


def _complete(words: list[str]) -> None:
    # Not on Windows, whose console edits lines itself.
    with suppress(ImportError):
        import readline

        def complete(text: str, state: int) -> str | None:
            found = [word for word in words if word.startswith(text)] if text.startswith("/") else []
            return found[state] if state < len(found) else None

        readline.set_completer_delims(" \t\n")
        readline.set_completer(complete)
        editline = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
