"""`tframex tokens` and `tframex chunks`: what a text takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import read
from tframex.cli._terminal import Terminal

__all__ = ["register"]

File = Annotated[str, typer.Argument(metavar="FILE", help="The text; - is standard input.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def tokens(file: File, endpoint: EndpointOptions, terminal: Terminal) -> None:
        """Count the tokens of a text.

        The endpoint counts them, if there is one that does; else cl100k.
        """
        text = read(file)
        window, counted = None, False
        if endpoint.given:
            with endpoint.open() as model:
                number = model.counter.measure_text(text)
                counted = model.counter.requests > 0
                name = model.model_id if counted else f"estimated for {model.model_id}, whose endpoint does not count"
                window = model.window()
        else:
            from tframex.tokens import default_counter

            number, name = default_counter().count(text), "cl100k; name an endpoint for its own count"
        if terminal.json:
            terminal.result({"tokens": number, "exact": counted, "context_window": window, "characters": len(text)})
            return
        terminal.write(f"{number}\n")
        share = f", {number / window:.0%} of its window of {window}" if window else ""
        terminal.remark(f"tokens ({name}){share}; {len(text)} characters")

    @command(app)
    def chunks(
        file: File,
        terminal: Terminal,
        chunk_size: Annotated[int, typer.Option(min=1, help="The most tokens of a chunk, counted with cl100k.")] = 1000,
        chunk_overlap: Annotated[int, typer.Option(min=0, help="Tokens that neighbours share.")] = 0,
    ) -> None:
        """Show how a text is cut into chunks."""
        from tframex.chunking import chunk_text

        found = chunk_text(read(file), chunk_size, chunk_overlap)
        if terminal.json:
            terminal.result({"chunks": [asdict(chunk) for chunk in found]})
            return
        for number, chunk in enumerate(found, start=1):
            beginning = " ".join(chunk.text[:200].split())[:60]
            terminal.write(f"{number:5} {chunk.tokens:6} tokens {chunk.start:9}-{chunk.end:<9} {beginning}\n")
        fill = sum(chunk.tokens for chunk in found) / (len(found) * chunk_size) if found else 0
        terminal.remark(f"{len(found)} chunks, {fill:.0%} full on average")
