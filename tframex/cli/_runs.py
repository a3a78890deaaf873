"""`tframex runs`: what agents have done, and what they wait for."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tframex.cli._command import command
from tframex.cli._terminal import Terminal
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex.tools import PendingCall, RunRecord

__all__ = ["register"]

Ids = list[str] | None
_WIDE = 60


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def runs(
        file: Annotated[str, typer.Argument(metavar="FILE", help="The checkpoint of a run.")],
        terminal: Terminal,
        approve: Annotated[Ids, typer.Option(metavar="ID", help="Let this call run. Or: all.")] = None,
        deny: Annotated[
            Ids, typer.Option(metavar="ID", help="Tell the model that this call was denied. Or: all.")
        ] = None,
        reason: Annotated[str, typer.Option(help="Why, in words for the model; with --deny.")] = "",
        retry: Annotated[
            Ids, typer.Option(metavar="ID", help="This call has not happened: run it again. Or: all.")
        ] = None,
        happened: Annotated[
            str | None, typer.Option(metavar="ID", help="This call has happened; with --result.")
        ] = None,
        result: Annotated[str | None, typer.Option(help="What the model reads as its result; with --happened.")] = None,
    ) -> None:
        """Show the run of an agent, and decide about its calls.

        A decision is written into the checkpoint. The program that started the run, started again, continues with it.
        """
        from tframex.tools import read_run

        if (happened is None) is not (result is None):
            raise ConfigurationError("--happened ID and --result TEXT belong together")
        record = read_run(file)
        _decide(file, record, approve, deny, reason, retry, happened, result)
        if approve or deny or retry or happened:
            record = read_run(file)
        if terminal.json:
            terminal.result(asdict(record))
            return
        _show(terminal, record)
        for pending in record.pending:
            terminal.remark(_what_to_do(file, pending), style="")


def _decide(
    file: str,
    record: RunRecord,
    approved: Ids,
    denied: Ids,
    reason: str,
    again: Ids,
    happened: str | None,
    result: str | None,
) -> None:
    from tframex.tools import approve, deny, resolve

    for call in _named(record, approved, "approval"):
        approve(file, call)
    for call in _named(record, denied, "approval"):
        deny(file, call, reason)
    for call in _named(record, again, "uncertain"):
        resolve(file, call, retry=True)
    if happened is not None:
        resolve(file, happened, result=result)


def _named(record: RunRecord, ids: Ids, why: str) -> list[str]:
    if ids == ["all"]:
        return [pending.call.id for pending in record.pending if pending.why == why]
    return ids or []


def _show(terminal: Terminal, record: RunRecord) -> None:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.began))
    terminal.write(f"{record.agent_id}: {record.state}, began {began}\n")
    if record.prompt:
        terminal.write(f"prompt   {_short(record.prompt)}\n")
    results = {(found.step, found.call.id): found for found in record.results}
    for answer in record.answers:
        terminal.write(f"answer   {_short(answer.text) or '(no text)'}\n")
        for call in answer.calls:
            found = results.get((answer.step, call.id))
            state = found.state if found is not None else "not begun"
            content = f" -> {_short(found.content)}" if found is not None and found.content else ""
            terminal.write(f"  {state:9} {call.name}({_short(call.arguments)}){content}\n")
    if record.result and not (record.answers and record.answers[-1].text == record.result):
        terminal.write(f"result   {_short(record.result)}\n")


def _what_to_do(file: str, pending: PendingCall) -> str:
    call = pending.call
    # The file is the user's; the id is what the server has sent.
    file, name = shlex.quote(file), shlex.quote(call.id)
    what = f"\n{call.name}({call.arguments})"
    if pending.why == "approval":
        return f"{what} waits for approval:\n  tframex runs {file} --approve {name}    (or --deny {name})"
    error = f"; {pending.error}" if pending.error else ""
    return (
        f"{what} may have taken effect or not (its key is {pending.key}{error}). If not, and if so:\n"
        f"  tframex runs {file} --retry {name}\n"
        f"  tframex runs {file} --happened {name} --result TEXT"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 3]}..."
