"""`tframex run` and `tframex context`: one answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import Sampling, read
from tframex.cli._shown import as_json, footer, show
from tframex.cli._terminal import Terminal
from tframex.cli._tools import Tools, agent_of
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync

__all__ = ["Prompt", "System", "prompt_of", "register"]

Prompt = Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-O", metavar="FILE", help="Write the answer here; it grows in FILE.partial until complete."
    ),
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Instructions for the model.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def run(
        prompt: Prompt,
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        system: System = None,
        tools: Tools = None,
        output: Output = None,
    ) -> None:
        """Ask the model; shows the answer as it comes."""
        with endpoint.open(reasoning="separate") as model:
            agent = agent_of("run", model, system, tools)
            # Another program is to read the answer alone.
            _answer(agent, prompt_of(prompt), sampling, terminal, output, live=not tools or sys.stdout.isatty())

    @command(app)
    def context(
        file: Annotated[str, typer.Argument(metavar="FILE", help="The text to answer from; - is standard input.")],
        prompt: Prompt,
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        output: Output = None,
    ) -> None:
        """Ask about a file that fits into the window.

        For longer ones there is `tframex chain`.
        """
        from tframex import sync

        if file == prompt == "-":
            raise ConfigurationError("only one of FILE and PROMPT can be standard input")
        with endpoint.open(reasoning="separate") as model:
            agent = sync.ContextAgent("context", model, read(file))
            _answer(agent, prompt_of(prompt), sampling, terminal, output)


def prompt_of(given: str) -> str:
    """What to ask, as given or from standard input."""
    return read("-") if given == "-" else given


def _answer(
    agent: sync.BaseAgent,
    prompt: str,
    sampling: Sampling,
    terminal: Terminal,
    output: Path | None,
    *,
    live: bool = True,
) -> None:
    options: dict[str, Any] = sampling.options
    typed = options.get("output_type")
    if output is not None:
        partial = output.with_name(f"{output.name}.partial")
        try:
            completion = agent.stream_to_file(prompt, output, **options)
        finally:
            if partial.exists():
                terminal.hint = f"What had arrived is in {partial}."
    elif terminal.json or typed is not None:
        completion = agent.complete(prompt, **options)
        if typed is not None and not terminal.json:
            terminal.write(f"{typed.write(completion.output)}\n")
    else:
        completion = show(agent.events(prompt, **options), terminal, live=live)
    if terminal.json:
        terminal.result(as_json(completion) | ({"path": output} if output else {}))
    elif output is not None:
        terminal.write(f"{output}\n")
    if completion.finish_reason == "length":
        terminal.remark(f"The answer was cut off at its token limit; raise {sampling.limiting}.", "yellow")
    terminal.remark(footer(completion))
