"""`tframex doctor`: what keeps you from an answer."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from tframex.cli._command import command
from tframex.cli._endpoint import LOCAL, EndpointOptions
from tframex.cli._terminal import FAILED, Terminal

if TYPE_CHECKING:
    from rich.console import Console

    from tframex.cli.doctor import Finding, Target

__all__ = ["register"]

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("·", "dim")}
# Where the texts begin.
_COLUMN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def doctor(
        endpoint: EndpointOptions,
        terminal: Terminal,
        timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each sign of life.")] = 15.0,
        concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests to send concurrently.")] = 8,
    ) -> None:
        """Find out why an endpoint does not answer.

        Or whether it does all that TFrameX can use. Costs about 400 generated tokens. The exit code is 0 if the endpoint
        can be used and 1 if it cannot.
        """
        from tframex.cli.doctor import Target, examine
        from tframex.local import LocalServer

        found: list[Finding] = []
        console = terminal.output
        with ExitStack() as stack:
            if endpoint.local:
                server = stack.enter_context(LocalServer(**LOCAL))
                target = Target(server.url, None, server.model_name, timeout, concurrency)
            else:
                target = _target(endpoint, timeout, concurrency)
            begin = stack.enter_context(_spinner(terminal, console))

            def report(finding: Finding) -> None:
                found.append(finding)
                if not terminal.json:
                    _show(finding, terminal, console)

            usable = anyio.run(examine, target, report, begin)
        _not_examined(found, terminal, console)
        warnings = [finding.check for finding in found if finding.status == "warning"]
        failed = [finding.check for finding in found if finding.status == "failed"]
        if terminal.json:
            terminal.result({"usable": usable, "checks": [asdict(finding) for finding in found]})
        elif not usable:
            terminal.write(f"\nNot usable: {failed[0]}.\n")
        else:
            but = f", with warnings: {', '.join(warnings)}" if warnings else ""
            terminal.write(f"\nUsable{but}.\n")
        if not usable:
            raise typer.Exit(FAILED)


def _target(endpoint: EndpointOptions, timeout: float, concurrency: int) -> Target:
    from tframex._address import check_api_key, normalize_url
    from tframex.cli.doctor import Target

    endpoint.check()
    key = check_api_key(endpoint.key) if endpoint.key else None
    return Target(normalize_url(endpoint.url), key, endpoint.model_name, timeout, concurrency, endpoint.sources)


def _show(finding: Finding, terminal: Terminal, console: Console) -> None:
    from rich.text import Text

    if (terminal.quiet and finding.status != "failed") or finding.detail.startswith("needs "):
        return
    mark, style = _MARKS[finding.status]
    if not (console.encoding or "").lower().startswith("utf"):
        mark = finding.status
    # In one call: the spinner is drawn below each.
    console.print(Text.assemble((mark, style), f" {finding.check:<{_COLUMN - 2}}{_wrapped(finding.detail, console)}"))
    for name, text in (("cause", finding.cause), ("fix", finding.fix)):
        if text:
            console.print(" " * _COLUMN + _wrapped(f"{name}: {text}", console), markup=False, highlight=False)


def _not_examined(found: list[Finding], terminal: Terminal, console: Console) -> None:
    """What could not be looked at, in one line."""
    names = [finding.check for finding in found if finding.detail.startswith("needs ")]
    if names and not terminal.json and not terminal.quiet:
        text = f"  {'not examined':<{_COLUMN - 2}}{_wrapped(', '.join(names), console)}"
        console.print(text, style="dim", markup=False, highlight=False)


def _wrapped(text: str, console: Console) -> str:
    """A text in its column; in a file it stays one line, for grep."""
    if not console.is_terminal:
        return text
    return f"\n{' ' * _COLUMN}".join(textwrap.wrap(text, max(20, console.width - _COLUMN - 1)))


@contextmanager
def _spinner(terminal: Terminal, console: Console) -> Iterator[Callable[[str], None]]:
    """Says what is being looked at: some checks wait for a while."""
    if terminal.json or terminal.quiet or not console.is_terminal:
        yield lambda check: None
        return
    with console.status("") as status:
        yield lambda check: status.update(f"[dim]{check}[/]")
