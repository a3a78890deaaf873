"""`tframex runs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from tframex.cli._app import app
from tframex.completion import Choice, Completion, ToolCall
from tframex.errors import ApprovalNeeded, CheckpointError, ToolError
from tframex.files import Journal, Row
from tframex.tools import RunJournal, Toolset, read_run, tool

CALLS = (
    ToolCall(0, "call_a", "look", '{"city": "Bern"}'),
    ToolCall(1, "call b", "pay", '{"amount": 11}'),
    ToolCall(2, "call_c", "send", "{}"),
)
FAILING = {"send"}


def look(city: str) -> str:
    return f"{city} is there"


@tool(approve=True)
def pay(amount: int) -> str:
    return f"paid {amount}"


def send() -> str:
    if "send" in FAILING:
        raise ConnectionError("no route")
    return "sent"


async def work(path: Path, text: str = "") -> None:
    async with RunJournal(path, "clerk", "Pay the invoice.") as journal:
        await journal.answered("1", Completion((Choice("I pay.", tool_calls=CALLS),)))
        await Toolset([look, pay, send]).run(CALLS, step="1", recorder=journal)
        if text:
            await journal.answered("2", Completion((Choice(text),)))
            await journal.end(text)


def runs(*words: str) -> Result:
    return CliRunner().invoke(app, ["runs", *words], prog_name="tframex")


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ApprovalNeeded):
        anyio.run(work, Path("clerk.sqlite"))
    return Path("clerk.sqlite")


def test_a_run_is_shown_with_what_it_waits_for_and_decided_about_until_it_ends(waiting: Path) -> None:
    file = str(waiting)
    shown = runs(file)
    assert shown.exit_code == 0
    first, *lines = shown.stdout.splitlines()
    assert first.startswith("clerk: waiting, began 20")
    assert lines == [
        "prompt   Pay the invoice.",
        "answer   I pay.",
        '  not begun look({"city": "Bern"})',
        '  approval  pay({"amount": 11})',
        "  not begun send({})",
    ]
    assert 'pay({"amount": 11}) waits for approval:' in shown.stderr
    assert "tframex runs clerk.sqlite --approve 'call b'    (or --deny 'call b')" in shown.stderr

    assert "  approved  pay(" in runs(file, "--approve", "call b").stdout
    with pytest.raises(ToolError, match="no route"):
        anyio.run(work, waiting)
    shown = runs(file)
    assert '  done      look({"city": "Bern"}) -> Bern is there' in shown.stdout
    assert "send({}) may have taken effect or not (its key is " in shown.stderr
    assert "it raised ConnectionError: no route" in shown.stderr
    assert "tframex runs clerk.sqlite --retry call_c" in shown.stderr

    # One of the others was stopped with it, or had ended.
    for pending in read_run(waiting).pending:
        if pending.call.name != "send":
            assert runs(file, "--happened", pending.call.id, "--result", "paid 11").exit_code == 0
    assert runs(file, "--retry", "all").exit_code == 0
    FAILING.clear()
    try:
        anyio.run(work, waiting)
    finally:
        FAILING.add("send")
    lines = runs(file).stdout.splitlines()
    assert lines[0].startswith("clerk: stopped")
    assert lines[-1] == "  done      send({}) -> sent"
    anyio.run(work, waiting, "All is paid.")
    lines = runs(file).stdout.splitlines()
    assert lines[0].startswith("clerk: finished")
    assert lines[-4:] == [
        '  done      look({"city": "Bern"}) -> Bern is there',
        '  done      pay({"amount": 11}) -> paid 11',
        "  done      send({}) -> sent",
        "answer   All is paid.",
    ]


def test_a_denial_is_told_to_the_model_with_its_reason(waiting: Path) -> None:
    shown = runs(str(waiting), "--deny", "all", "--reason", "Too much.")
    assert (
        '  denied    pay({"amount": 11}) -> The user has denied this call; it was not run. The reason...'
        in shown.stdout
    )


def test_a_program_gets_everything_as_json(waiting: Path) -> None:
    found = json.loads(runs(str(waiting), "--json").stdout)
    assert (found["agent_id"], found["state"], found["prompt"]) == ("clerk", "waiting", "Pay the invoice.")
    assert found["pending"][0]["call"] == {"index": 1, "id": "call b", "name": "pay", "arguments": '{"amount": 11}'}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.sqlite"], 1, "there is no checkpoint missing.sqlite"),
        (["clerk.sqlite", "--approve", "x"], 2, "no call 'x' in clerk.sqlite waits for approval"),
        (["clerk.sqlite", "--retry", "call b"], 2, "is uncertain; what waits for a decision: call b (pay, approval)"),
        (["clerk.sqlite", "--happened", "x"], 2, "--happened ID and --result TEXT belong together"),
    ],
)
def test_a_wrong_decision_changes_nothing_and_says_what_there_is(
    waiting: Path, words: list[str], code: int, said: str
) -> None:
    before = read_run(waiting)
    done = runs(*words)
    assert done.exit_code == code
    assert said in done.stderr
    assert read_run(waiting) == before


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.sqlite"
    with Journal(path, "job") as journal:
        journal.put(Row("0/1", "key", 0, 0, True, "text", 1, {}))
    with pytest.raises(CheckpointError, match="is no checkpoint of an agent's run"):
        read_run(path)


def test_a_run_that_is_alive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"

    async def body() -> Any:
        async with RunJournal(path, "clerk", [{"role": "user", "content": "Pay."}]):
            return read_run(path)

    found = anyio.run(body)
    assert (found.state, found.prompt, found.pending) == ("running", "Pay.", ())
    assert read_run(path).state == "stopped"
