"""The `tframex` command."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]

_PACKAGES = ("dotenv", "rich", "setproctitle", "typer")


def main() -> None:
    """Run the command that the process was started with."""
    for stream in (sys.stdout, sys.stderr):
        # Windows writes into pipes with an encoding that has few characters; an answer must not end with an error there.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        _hide_secrets()
        from tframex.cli._app import app

        app(prog_name="tframex")
    except ModuleNotFoundError as exc:
        if exc.name not in _PACKAGES:
            raise
        sys.exit(f'the tframex command needs the package {exc.name}: pip install "tframex[cli]"')
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as exc:
        sys.exit(f"tframex: {exc}")


def _hide_secrets() -> None:
    """Take a key, and a URL with a password, out of the process's title, where everybody on the machine can read it."""
    words = list(sys.argv)
    for number, word in enumerate(sys.argv):
        option, sign, value = word.partition("=")
        if option not in ("--api-key", "--api-url"):
            continue
        if not sign and number + 1 < len(words):
            value = words[number + 1]
        if option == "--api-key" or "@" in value:
            words[number if sign else min(number + 1, len(words) - 1)] = f"{option}=***" if sign else "***"
    if words != sys.argv:
        from setproctitle import setproctitle

        setproctitle(" ".join(["tframex", *words[1:]]))
