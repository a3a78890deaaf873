"""`tframex chain`: a question about a text of any length."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.cli._command import command
from tframex.cli._endpoint import Endpoint
from tframex.cli._options import Sampling, read
from tframex.cli._terminal import Terminal

if TYPE_CHECKING:
    from tframex import sync

__all__ = ["register"]

_FOLDER = Path(".tframex")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def chain(
        file: Annotated[str, typer.Argument(metavar="FILE", help="The text, of any length; - is standard input.")],
        question: Annotated[str, typer.Argument(help="What to find out, or to do with the text.")],
        endpoint: Endpoint,
        sampling: Sampling,
        terminal: Terminal,
        chunk_size: Annotated[
            int | None, typer.Option(min=1, help="Tokens of a chunk. [default: what the window leaves]")
        ] = None,
        chunk_overlap: Annotated[
            int | None, typer.Option(min=0, help="Tokens that neighbouring chunks share. [default: up to 100]")
        ] = None,
        map_reduce: Annotated[
            bool, typer.Option("--map-reduce", help="Read the chunks at the same time, each for itself.")
        ] = False,
        checkpoint: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Keeps finished steps. [default: a file in .tframex, until it is done]"),
        ] = None,
    ) -> None:
        """Ask about a text of any length.

        It is read chunk by chunk. If it is interrupted, the same command goes on where it was.
        """
        from tframex import sync
        from tframex._checkpoint import content_key

        text = read(file)
        options = sampling.options
        with endpoint.open() as model:
            kind = sync.MapReduceSystem if map_reduce else sync.ChainOfAgents
            system = kind("chain", model, chunk_size, chunk_overlap)
            job = content_key(kind.__name__, model.model_id, question, text, chunk_size, chunk_overlap, options)
            kept = checkpoint or _FOLDER / f"chain-{job[:12]}.sqlite"
            terminal.hint = "The same command goes on where it was."
            _answer(system, question, text, {**options, "checkpoint": kept}, terminal)
        if checkpoint is None:
            kept.unlink(missing_ok=True)
            with suppress(OSError):
                # Others may be unfinished.
                _FOLDER.rmdir()


def _answer(system: sync.LongTextSystem, question: str, text: str, options: dict[str, Any], terminal: Terminal) -> None:
    with ExitStack() as stack:
        progress = stack.enter_context(terminal.progress(details=True))
        if terminal.json:
            result = system.complete(question, text, progress=progress, **options)
            terminal.result(
                {
                    "text": result.text,
                    "usage": asdict(result.usage) if result.usage else None,
                    "answers": result.answers,
                    "steps": [asdict(step) for step in result.steps],
                    "sources": [asdict(source) for source in result.sources],
                }
            )
            return
        end = "\n"
        for piece in system.stream(question, text, progress=progress, **options):
            # The bar is done when the answer begins.
            stack.close()
            terminal.write(piece)
            end = piece[-1:]
        terminal.write("" if end == "\n" else "\n")
