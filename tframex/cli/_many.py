"""`tframex multi`, `tframex vote` and `tframex batch`: many calls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tframex.cli._ask import Prompt, prompt_of
from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._options import Sampling
from tframex.cli._shown import as_json
from tframex.cli._terminal import FAILED, PARTLY, Terminal
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex.systems import Samples

__all__ = ["register"]

AtOnce = Annotated[
    int | None, typer.Option(min=1, help="Calls in flight. [default: found out from what the server takes]")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def multi(
        prompt: Prompt,
        calls: Annotated[int, typer.Argument(min=1, help="How many answers.")],
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        output_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the answers go.")] = Path(
            "multi_call_outputs"
        ),
        base_name: Annotated[str, typer.Option(metavar="NAME", help="How their names begin.")] = "output",
        force: Annotated[bool, typer.Option("--force", help="Replace answers that are there already.")] = False,
        max_concurrency: AtOnce = None,
    ) -> None:
        """Ask one thing many times, into files."""
        from tframex import sync

        there = [output_dir / f"{base_name}_{number}.txt" for number in range(1, calls + 1)]
        if not force and (found := next((path for path in there if path.exists()), None)):
            raise ConfigurationError(f"{found} is there already; give another --base-name or --output-dir, or --force")
        with endpoint.open() as model:
            system = sync.MultiCallSystem("multi", model, max_concurrency=max_concurrency or "auto")
            terminal.hint = (
                f"Answers in {output_dir} are complete, unfinished ones end in .partial; more need another --base-name."
            )
            with terminal.progress() as progress:
                samples = system.complete(
                    prompt_of(prompt), calls, output_dir, base_name, progress=progress, **sampling.options
                )
        if terminal.json:
            terminal.result(
                {
                    "calls": {
                        f"call_{sample.index}": {
                            "path": sample.path,
                            "error": str(sample.error) if sample.error else None,
                            **(as_json(sample.completion) if sample.completion else {"partial": sample.partial}),
                        }
                        for sample in samples
                    },
                    "usage": asdict(samples.usage),
                    "seconds": samples.seconds,
                    "peak": samples.peak,
                    "refusals": samples.refusals,
                }
            )
        for sample in samples:
            if sample.error is not None:
                terminal.remark(f"call_{sample.index}: {sample.error}", "red")
            elif not terminal.json:
                terminal.write(f"{sample.path}\n")
        terminal.remark(
            f"{len(samples.texts)} of {calls} answers in {samples.seconds:.1f} s, "
            f"{samples.tokens_per_second:.0f} tokens/s, up to {samples.peak} concurrently"
        )
        _cut_off(samples, terminal, sampling.limiting)
        terminal.hint = ""
        if samples.failed:
            raise typer.Exit(PARTLY if samples.texts else FAILED)

    @command(app)
    def vote(
        prompt: Prompt,
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        calls: Annotated[int, typer.Option("--calls", "-n", min=1, help="The most answers.")] = 16,
        confidence: Annotated[
            float, typer.Option(min=0.5, max=1.0, help="How sure to be of the winner before stopping.")
        ] = 0.95,
        max_concurrency: AtOnce = None,
    ) -> None:
        """Ask several times; show what most say.

        What counts is the last line of each answer.
        """
        from tframex import sync

        with endpoint.open() as model:
            system = sync.MultiCallSystem("vote", model, max_concurrency=max_concurrency or "auto")
            with terminal.progress() as progress:
                found = system.vote(
                    prompt_of(prompt), calls, confidence=confidence, progress=progress, **sampling.options
                )
        if terminal.json:
            terminal.result(
                {
                    "answer": found.answer,
                    **({} if found.output is None else {"output": found.output}),
                    "text": found.text,
                    "counts": found.counts,
                    "confidence": found.confidence,
                    "calls": len(found.samples),
                    "usage": asdict(found.samples.usage),
                }
            )
            return
        terminal.write(f"{found.answer}\n")
        for answer, count in list(found.counts.items())[:10]:
            terminal.remark(f"{count:4}  {answer[:100]}")
        sure = found.confidence >= confidence
        terminal.remark(
            f"{'' if sure else 'no clear winner: '}confidence {found.confidence:.2f} after "
            f"{sum(found.counts.values())} of {calls} answers",
            "dim" if sure else "yellow",
        )
        _cut_off(found.samples, terminal, sampling.limiting)

    @command(app)
    def batch(
        source: Annotated[Path, typer.Argument(metavar="IN", help="Requests, one JSON value a line.")],
        target: Annotated[Path, typer.Argument(metavar="OUT", help="Results, a line for each.")],
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        checkpoint: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Keeps unfinished answers. [default: OUT.checkpoint]")
        ] = None,
        max_concurrency: AtOnce = None,
    ) -> None:
        """Answer a file of requests.

        Also in the format of OpenAI's Batch API. If it is interrupted, or lines have failed, the same command continues and
        asks those lines again. It exits with 3 as long as lines have an error.
        """
        from tframex import sync

        if "-" in (str(source), str(target)):
            raise ConfigurationError("batch needs two files, from which it resumes; - is not one")
        with endpoint.open() as model:
            system = sync.MultiCallSystem("batch", model, max_concurrency=max_concurrency or "auto")
            terminal.hint = "The same command continues where this one stopped."
            with terminal.progress() as progress:
                found = system.run_file(source, target, checkpoint=checkpoint, progress=progress, **sampling.options)
        terminal.hint = ""
        if terminal.json:
            terminal.result({"path": target, **asdict(found)})
        else:
            terminal.write(f"{target}\n")
        earlier = f", {found.earlier} of them by an earlier run" if found.earlier else ""
        earlier += f", {found.retried} that had failed asked again" if found.retried else ""
        terminal.remark(
            f"{found.lines} lines answered{earlier}, {found.failed} with an error, in {found.seconds:.1f} s"
        )
        if found.failed:
            raise typer.Exit(PARTLY if found.failed < found.lines else FAILED)


def _cut_off(samples: Samples, terminal: Terminal, limiting: str) -> None:
    cut = sum(s.completion is not None and s.completion.finish_reason == "length" for s in samples)
    if cut:
        terminal.remark(
            f"{cut} of {len(samples)} answers were cut off at their token limit; raise {limiting}.", "yellow"
        )
