"""`tframex run` and `tframex context`: one answer."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import Sampling, read
from tframex.cli._terminal import Terminal
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync
    from tframex.model import Completion

__all__ = ["Prompt", "as_json", "prompt_of", "register"]

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
        output: Output = None,
    ) -> None:
        """Ask the model; shows the answer as it comes."""
        from tframex import sync

        with endpoint.open(reasoning="separate") as model:
            agent = sync.BasicAgent("run", model, system_prompt=system)
            _answer(agent, prompt_of(prompt), sampling, terminal, output)

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


def _answer(agent: sync.BasicAgent, prompt: str, sampling: Sampling, terminal: Terminal, output: Path | None) -> None:
    options = sampling.options
    if output is not None:
        partial = output.with_name(f"{output.name}.partial")
        try:
            completion = agent.stream_to_file(prompt, output, **options)
        finally:
            if partial.exists():
                terminal.hint = f"What had arrived is in {partial}."
    elif terminal.json:
        completion = agent.complete(prompt, **options)
    else:
        completion = _show(agent, prompt, options, terminal)
    if terminal.json:
        terminal.result(as_json(completion) | ({"path": output} if output else {}))
    elif output is not None:
        terminal.write(f"{output}\n")
    if completion.finish_reason == "length":
        terminal.remark(f"The answer was cut off at its token limit; raise {sampling.limiting}.", "yellow")
    terminal.remark(_footer(completion))


def _show(agent: sync.BasicAgent, prompt: str, options: dict[str, Any], terminal: Terminal) -> Completion:
    """Write the answer as it comes; a thought that the server sends apart goes to the terminal alone."""
    from tframex.events import ReasoningPiece, RunFinished, TextPiece

    thinking = False
    with closing(agent.events(prompt, **options)) as events:
        for event in events:
            if isinstance(event, ReasoningPiece) and event.index == 0:
                thinking = terminal.thought(event.text) or thinking
            elif isinstance(event, TextPiece) and event.index == 0:
                if thinking:
                    thinking = False
                    sys.stderr.write("\n\n")
                terminal.write(event.text)
            elif isinstance(event, RunFinished):
                completion: Completion = event.result
                terminal.write("" if completion.text.endswith("\n") else "\n")
                return completion
    raise AssertionError("the events of a run end with RunFinished")


def as_json(completion: Completion) -> dict[str, Any]:
    """A completion for a program."""
    found = asdict(completion)
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "finish_reason": completion.finish_reason,
        "model": completion.model_id,
        "usage": found["usage"],
        "seconds": completion.timings.total,
        "first_token_seconds": completion.timings.first_token,
        "retries": completion.retries,
        "resumes": completion.resumes,
    }


def _footer(completion: Completion) -> str:
    timings, usage = completion.timings, completion.usage
    parts = [] if usage is None else [f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written"]
    parts.append(f"{timings.total:.1f} s")
    if timings.first_token is not None:
        parts[-1] += f", the first token after {timings.first_token:.2f} s"
    for count, what in ((completion.retries, "sent again"), (completion.resumes, "continued after a break")):
        if count:
            parts.append(f"{what} {count} times" if count > 1 else f"{what} once")
    return "; ".join(parts)
