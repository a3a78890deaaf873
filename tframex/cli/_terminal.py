"""What a command shows: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.errors import CheckpointError, ConfigurationError, ModelError, PartialFailureError, TFrameXError

if TYPE_CHECKING:
    from rich.console import Console

    from tframex.tasks import Progress, ProgressCallback

__all__ = ["FAILED", "INTERRUPTED", "PARTLY", "USAGE", "Terminal"]

# Seconds between two lines of progress where there is no terminal to draw on.
_APART = 10.0
FAILED, USAGE, PARTLY, INTERRUPTED = 1, 2, 3, 130


@dataclass
class Terminal:
    """The options that say how results are shown, the same for every command."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")] = False
    hint: str = field(default="", init=False)
    """What a user can do after Ctrl-C or an error."""
    _showing: ExitStack | None = field(default=None, init=False, repr=False)

    def write(self, text: str) -> None:
        """Show a piece of the answer immediately."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def result(self, found: dict[str, Any]) -> None:
        """Print the result for a program."""
        sys.stdout.write(json.dumps(found, default=str) + "\n")

    def thought(self, text: str) -> bool:
        """Show a piece of what the model thinks before its answer, on a terminal alone; returns whether it was shown."""
        if self.quiet or not sys.stderr.isatty():
            return False
        sys.stderr.write(f"\x1b[2m{text}\x1b[0m" if _styled() else text)
        sys.stderr.flush()
        return True

    def remark(self, text: str, style: str = "dim") -> None:
        """Say something that is not the answer."""
        if not self.quiet and not self.json:
            self.console.print(text, style=style, markup=False, highlight=False)

    @property
    def console(self) -> Console:
        """Standard error."""
        return _console(stderr=True)

    @property
    def output(self) -> Console:
        """Standard output, for results that are drawn."""
        return _console(stderr=False)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what goes wrong into a message and an exit code."""
        try:
            yield
        except TFrameXError as error:
            self.fail(error)
            code = USAGE if isinstance(error, ConfigurationError) else FAILED
            raise typer.Exit(PARTLY if isinstance(error, PartialFailureError) and error.results else code) from None
        except typer.Exit:
            raise
        except Exception as exc:
            if not self.json or isinstance(exc, OSError):
                # A broken pipe, too, which typer knows.
                raise
            self.result({"error": {"type": type(exc).__name__, "message": str(exc)}})
            raise typer.Exit(FAILED) from exc
        except KeyboardInterrupt:
            if self.json:
                self.result({"error": {"type": "KeyboardInterrupt", "message": f"interrupted. {self.hint}".strip()}})
            else:
                sys.stderr.write(f"\nInterrupted. {self.hint}".rstrip() + "\n")
            raise typer.Exit(INTERRUPTED) from None

    def fail(self, error: TFrameXError) -> None:
        """Say what went wrong."""
        if self.json:
            found = {"type": type(error).__name__, "message": str(error)}
            if isinstance(error, ModelError) and error.partial:
                found["partial"] = error.partial
            self.result({"error": found})
            return
        self.console.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False)
        if self.hint and not isinstance(error, (CheckpointError, ConfigurationError)):
            self.console.print(self.hint, markup=False, highlight=False)

    @contextmanager
    def progress(self, *, details: bool = False) -> Iterator[ProgressCallback]:
        """Show how far long work is: a bar on a terminal, else a line now and then.

        Args:
            details: Show what each step has returned, too.
        """
        if self.quiet or self.json:
            yield lambda step: None
            return
        with ExitStack() as stack:
            self._showing = stack
            bar = self.console.is_terminal
            callback = stack.enter_context(_bar(self.console, details)) if bar else _Lines(self)

            def show(step: Progress) -> None:
                if self._showing is not None:
                    callback(step)

            try:
                yield show
            finally:
                self._showing = None

    def end_progress(self) -> None:
        """Remove the progress: the answer begins."""
        if self._showing is not None:
            showing, self._showing = self._showing, None
            showing.close()


def _styled() -> bool:
    """Whether a terminal may be sent colours and the like; see https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _console(*, stderr: bool) -> Console:
    # Loaded here, since `--help` must not wait for it.
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            # The method of rich ends the process; `main` decides what to do.
            raise

    return Output(stderr=stderr, soft_wrap=True, color_system="auto" if _styled() else None)


class _Lines:
    """Progress for a log."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._said = -1
        self._next = 0.0

    def __call__(self, step: Progress) -> None:
        now = time.monotonic()
        if step.done != self._said and (now >= self._next or step.done == step.total):
            self._said, self._next = step.done, now + _APART
            failed = f", {step.failed} failed" if step.failed else ""
            self._terminal.remark(f"{step.stage} {step.done} of {step.total}{failed}{_speed(step)}")


@contextmanager
def _bar(console: Console, details: bool) -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Bar(*columns, TextColumn("{task.fields[speed]}"), console=console, transient=True) as bar:
        task = bar.add_task("working", total=None, speed="")
        said = 0

        def show(step: Progress) -> None:
            nonlocal said
            if details and step.detail and step.done != said:
                said = step.done
                text = " ".join(step.detail.split())
                # Not the console's full width: a line that wraps would be torn by the bar.
                line = f"{step.stage} {step.done}/{step.total}  {text}"[: console.width - 1]
                bar.console.print(line, style="dim", markup=False, highlight=False)
            failed = f", {step.failed} failed" if step.failed else ""
            bar.update(
                task, completed=step.done, total=step.total, description=f"{step.stage}{failed}", speed=_speed(step)
            )

        yield show


def _speed(step: Progress) -> str:
    parts = []
    if step.running:
        parts.append(f"{step.running} running")
    if step.tokens_per_second:
        parts.append(f"{step.tokens_per_second:.0f} tokens/s")
    if step.seconds_left and step.done < step.total:
        parts.append(f"about {step.seconds_left:.0f} s left")
    return "".join(f", {part}" for part in parts)
