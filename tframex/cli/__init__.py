"""The `tframex` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started with."""
    _hide_key()
    try:
        from tframex.cli._app import app
    except ModuleNotFoundError as exc:
        if exc.name not in ("dotenv", "rich", "typer"):
            raise
        sys.exit(f'the tframex command needs the package {exc.name}: pip install "tframex[cli]"')
    app(prog_name="tframex")


def _hide_key() -> None:
    """Take a key out of the process's title, where everybody on the machine can read it."""
    given = [argument for argument in sys.argv if argument.startswith("--api-key")]
    if given:
        from setproctitle import setproctitle

        words = list(sys.argv)
        for number, word in enumerate(words):
            if word.startswith("--api-key="):
                words[number] = "--api-key=***"
            elif word == "--api-key" and number + 1 < len(words):
                words[number + 1] = "***"
        setproctitle(" ".join(["tframex", *words[1:]]))
