"""Runs with three tools that are killed at each row of their journal: `python -m tests.killed_run FOLDER ORDER POLICY`.

ORDER is `sequence` (each step asks for one call) or `parallel` (one step asks for three). POLICY is the tools'
`on_uncertain`. For every row there are a run that is killed before the row is written, and one that is killed after that,
each in a folder of its own below FOLDER: the checkpoint `run.sqlite`, and a line for each answer that was paid (`answers`)
and each effect (`effects`). The last folder is that of a run that has ended by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from tframex.completion import Choice, Completion, ToolCall
from tframex.files import Journal, Row
from tframex.tools import RunJournal, Tool, ToolContext, Toolset

__all__ = ["ANSWERS", "happened", "lines", "main", "run"]

_CALLS = [ToolCall(0, f"id-{letter}", f"write_{letter}", f'{{"text": "{letter}"}}') for letter in "abc"]
ANSWERS = {
    "sequence": [[_CALLS[0]], [_CALLS[1]], [_CALLS[2]], []],
    "parallel": [_CALLS, []],
}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def write(path: Path, line: str) -> None:
    """One line, written completely or not at all."""
    with path.open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def happened(folder: Path, key: str) -> str | None:
    """What a service would say of a key."""
    return next((line.split()[0] for line in lines(folder / "effects") if line.split()[1] == key), None)


def tools(folder: Path, policy: str) -> Toolset:
    def tool(letter: str) -> Tool:
        # Two that are asynchronous, and one in a thread.
        async def awaited(context: ToolContext, text: str) -> str:
            await anyio.lowlevel.checkpoint()
            write(folder / "effects", f"{text} {context.key}")
            await anyio.lowlevel.checkpoint()
            return f"wrote {text}"

        def threaded(context: ToolContext, text: str) -> str:
            write(folder / "effects", f"{text} {context.key}")
            return f"wrote {text}"

        def look(context: ToolContext) -> str | None:
            found = happened(folder, context.key)
            return found and f"wrote {found}"

        uncertain: Any = look if policy == "function" else policy
        return Tool(threaded if letter == "b" else awaited, name=f"write_{letter}", on_uncertain=uncertain)

    return Toolset([tool(letter) for letter in "abc"])


async def run(folder: Path, order: str, policy: str) -> str:
    toolset = tools(folder, policy)
    async with RunJournal(folder / "run.sqlite", "writer", order) as journal:
        for number, calls in enumerate(ANSWERS[order]):
            step = str(number)
            found = await journal.answer(step)
            if not isinstance(found, Completion):
                write(folder / "answers", step)
                text = "" if calls else "done"
                found = Completion((Choice(text, tool_calls=tuple(calls)),))
                await journal.answering(step).finish(found)
            if not found.tool_calls:
                await journal.end(found.text)
                return found.text
            outcomes = await toolset.run(found.tool_calls, run_id=journal.run_id, step=step, recorder=journal)
            assert [outcome.content for outcome in outcomes] == [f"wrote {call.id[-1]}" for call in calls], outcomes
    raise AssertionError


def kill_at(number: int, when: str) -> None:
    """Kill this process before or after a row is written."""
    put, count = Journal.put, 0

    def counted(journal: Journal, row: Row) -> None:
        nonlocal count
        here, count = count == number, count + 1
        if here and when == "before":
            kill()
        put(journal, row)
        if here:
            kill()

    Journal.put = counted  # type: ignore[method-assign,assignment]


def kill() -> None:
    # On Windows, where SIGKILL does not exist, SIGTERM ends a process as abruptly.
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def one(folder: Path, order: str, policy: str, number: int, when: str) -> None:
    folder.mkdir()
    kill_at(number, when)
    anyio.run(run, folder, order, policy)


def child(*arguments: Any) -> int:
    """Make a run in a process of its own, and return its exit code."""
    if not hasattr(os, "fork"):
        folder, *rest = arguments
        code = f"from pathlib import Path; from tests.killed_run import one; one(Path({str(folder)!r}), *{rest!r})"
        return subprocess.run([sys.executable, "-c", code], check=False).returncode
    # Forked, it need not import everything again. There are no threads yet.
    process = os.fork()
    if process == 0:
        one(*arguments)
        os._exit(0)
    return os.waitpid(process, 0)[1]


def main() -> None:
    folder, order, policy = sys.argv[1:]
    for number in range(100):
        for when in ("before", "after"):
            if child(Path(folder) / f"{number:02}-{when}", order, policy, number, when) == 0:
                return


if __name__ == "__main__":
    main()
