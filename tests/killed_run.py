"""Runs with three tools, killed at each row of their journal: `python -m tests.killed_run FOLDER URL ORDER POLICY`.

URL is a server that plays `answer`. ORDER is `sequence` (each answer asks for one call) or `parallel` (one asks for three).
POLICY is the tools' `on_uncertain`. A run is killed after each row is written, and between each effect and the row that
says so, each run in its own folder below FOLDER: the checkpoint `run.sqlite`, and a line for each effect (`effects`). The
last folder is that of a run that has ended by itself.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from tframex.agents import ToolAgent
from tframex.files import Journal, Row, _journal
from tframex.model import VLLMModel
from tframex.testing import Answer
from tframex.tools import Tool, ToolContext, Toolset

__all__ = ["answer", "child", "happened", "lines", "main", "run"]

CALLS = [(f"write_{letter}", {"text": letter}) for letter in "abc"]


def answer(request: Mapping[str, Any]) -> Answer:
    """What the model says: by the order that the prompt names, and how far the conversation is."""
    number = sum(message["role"] == "assistant" for message in request["messages"])
    steps = [[call] for call in CALLS] if "sequence" in request["messages"][0]["content"] else [CALLS]
    return Answer(calls=steps[number]) if number < len(steps) else Answer("done")


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


async def run(folder: Path, url: str, order: str, policy: str) -> str:
    async with VLLMModel("fake", url, "k") as model:
        agent = ToolAgent("writer", model, tools(folder, policy))
        answered: str = await agent.run(f"{order} {folder.name}", checkpoint=folder / "run.sqlite")
        return answered


def kill_at(number: int) -> None:
    """Kill this process at a point: after a row is written, or between an effect and the row that says so."""
    put, count = Journal.put, 0

    def point() -> None:
        nonlocal count
        if count == number:
            kill()
        count += 1

    def counted(journal: Journal, row: Row) -> None:
        if row.done and "call" in row.details:
            point()
        put(journal, row)
        point()

    Journal.put = counted  # type: ignore[method-assign,assignment] # it counts, and kills


def kill() -> None:
    # On Windows, where SIGKILL does not exist, SIGTERM ends a process as abruptly.
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def one(folder: Path, url: str, order: str, policy: str, number: int) -> None:
    folder.mkdir()
    kill_at(number)
    anyio.run(run, folder, url, order, policy)


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
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    folder, *settings = sys.argv[1:]
    # What a killed process has written is there without waiting for the disk.
    _journal._SYNCHRONOUS = "OFF"
    # What a first run imports: each process is forked before it.
    for name in ("aiohttp", "httpcore2", "openai.resources.chat.completions", "tframex.exchange.transport", "trio"):
        importlib.import_module(name)
    for number in range(100):
        code = child(Path(folder) / f"{number:02}", *settings, number)
        if code in (0, 1):
            # It has ended by itself, or failed.
            sys.exit(code)


if __name__ == "__main__":
    main()
