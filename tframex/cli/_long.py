"""`tframex chain`: a question about a text of any length."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.cli._ask import prompt_of
from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import Sampling, read
from tframex.cli._terminal import Terminal
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync
    from tframex.systems import LongTextResult
    from tframex.tasks import Progress

__all__ = ["register"]

_FOLDER = Path(".tframex")
_CONTINUES = "The same command continues where this one stopped."


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def chain(
        file: Annotated[str, typer.Argument(metavar="FILE", help="The text, of any length; - is standard input.")],
        question: Annotated[str, typer.Argument(help="What to find out, or to do with the text.")],
        endpoint: EndpointOptions,
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

        It is read chunk by chunk. If it is interrupted, the same command continues where it stopped.
        """
        from tframex import sync
        from tframex.files import content_key

        if file == question == "-":
            raise ConfigurationError("only one of FILE and QUESTION can be standard input")
        text = read(file)
        question = prompt_of(question)
        options = sampling.options
        with endpoint.open() as model:
            kind = sync.MapReduceSystem if map_reduce else sync.ChainOfAgents
            system = kind("chain", model, chunk_size, chunk_overlap)
            shape = {**options, "output_type": options["output_type"].schema} if "output_type" in options else options
            job = content_key(
                kind.__name__, model.api_url, model.model_id, question, text, chunk_size, chunk_overlap, shape
            )
            kept = checkpoint or _automatic(job, terminal)
            if kept is not None and kept.exists():
                terminal.remark(f"Continuing from {kept}.")
            else:
                terminal.remark(f"Reading {len(text)} characters.")
            terminal.hint = _CONTINUES if kept is not None else ""
            _answer(system, question, text, {**options, "checkpoint": kept}, terminal, sampling.limiting)
        if checkpoint is None and kept is not None:
            _forget(kept)


def _automatic(job: str, terminal: Terminal) -> Path | None:
    """Where finished steps are kept until the answer is there."""
    try:
        _FOLDER.mkdir(exist_ok=True)
        if not os.access(_FOLDER, os.W_OK):
            raise PermissionError(f"{_FOLDER} cannot be written")
    except OSError as exc:
        terminal.remark(f"If this is interrupted, it starts over: no checkpoint can be written ({exc}).", "yellow")
        return None
    return _FOLDER / f"chain-{job[:12]}.sqlite"


def _forget(kept: Path) -> None:
    for path in (kept, kept.with_name(f"{kept.name}-wal"), kept.with_name(f"{kept.name}-shm")):
        # In use by another run of the same command, on Windows.
        with suppress(OSError):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        # Others may be unfinished.
        _FOLDER.rmdir()


def _answer(
    system: sync.LongTextSystem, question: str, text: str, options: dict[str, Any], terminal: Terminal, limiting: str
) -> None:
    """Show the progress, then the answer as it comes."""
    from tframex.events import RunFinished, TextPiece

    with ExitStack() as stack:
        shown = stack.enter_context(terminal.progress(details=True))

        def progress(step: Progress) -> None:
            if terminal.hint:
                terminal.hint = f"{step.done} steps are kept. {_CONTINUES}"
            shown(step)

        checkpoint = options.pop("checkpoint")
        events = stack.enter_context(
            closing(system.events(question, text, progress=progress, checkpoint=checkpoint, **options))
        )
        end, typed = "\n", options.get("output_type")
        for event in events:
            if isinstance(event, TextPiece) and not terminal.json and typed is None:
                # The bar is done when the answer begins.
                terminal.end_progress()
                terminal.write(event.text)
                end = event.text[-1:]
    assert isinstance(event, RunFinished)
    result: LongTextResult = event.result
    if terminal.json:
        terminal.result(_as_json(result))
    else:
        if typed is not None:
            terminal.end_progress()
            terminal.write(typed.write(result.output))
            end = ""
        terminal.write("" if end == "\n" else "\n")
    if result.finish_reason == "length":
        terminal.remark(f"The answer was cut off at its token limit; raise {limiting}.", "yellow")


def _as_json(result: LongTextResult) -> dict[str, Any]:
    return {
        "text": result.text,
        **({} if result.output is None else {"output": result.output}),
        "usage": asdict(result.usage) if result.usage else None,
        "answers": result.answers,
        "steps": [asdict(step) for step in result.steps],
        "sources": [asdict(source) for source in result.sources],
    }
