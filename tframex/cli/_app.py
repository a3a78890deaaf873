"""All commands."""

from __future__ import annotations

from typing import Annotated

import typer

from tframex import __version__
from tframex.cli import _ask, _chat, _doctor, _long, _many, _mcp, _runs, _server, _texts

__all__ = ["app"]

app = typer.Typer(
    help="Models, agents and systems on a vLLM or OpenAI-compatible chat endpoint.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some of several calls failed, 130 interrupted, 141 no reader.",
    no_args_is_help=True,
    # Drawn by rich, the help would take three times as long.
    rich_markup_mode=None,
    # A traceback with its variables would show the key.
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for module in (_ask, _chat, _long, _many, _runs, _texts, _mcp, _server, _doctor):
    module.register(app)
