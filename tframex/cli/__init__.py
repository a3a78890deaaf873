"""The `tframex` command."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["main"]

_PACKAGES = ("dotenv", "rich", "setproctitle", "typer")
# The reader of the output has gone: what a shell reports for a program that SIGPIPE ends.
_CLOSED = 141


def main() -> None:
    """Run the command that the process was started with."""
    _open_streams()
    output = sys.stdout
    try:
        try:
            _run()
        finally:
            # What is left in the buffer: where it cannot be written, that is to be noticed before Python ends.
            output.flush()
    except SystemExit:
        if sys.stdout is output:
            raise
        # typer has found that the reader has gone, and ends with 1.
        sys.exit(_CLOSED)
    except BrokenPipeError:
        _discard(output)
        sys.exit(_CLOSED)
    except OSError as exc:
        _discard(output)
        sys.exit(f"tframex: {exc}")


def _run() -> None:
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


def _open_streams() -> None:
    """Make sure that standard output and error can be written to, whatever the process was started with."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # Windows writes into pipes with an encoding that has few characters; an answer must not end with an error there.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _discard(output: TextIO) -> None:
    """Send further output nowhere: Python writes the rest when it ends, and would report that it fails."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output.fileno())
        os.close(nowhere)


def _hide_secrets() -> None:
    """Take a key, and a URL with a password, out of the process's title, which every user of the machine can read."""
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
