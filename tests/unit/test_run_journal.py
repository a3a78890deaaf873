"""A run of an agent that is killed continues, and no finished call runs again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.conftest import ROOT, Colour
from tests.killed_run import answer, happened, lines, run
from tframex.completion import Choice, Completion, Timings, ToolCall, Usage
from tframex.errors import ApprovalNeeded, CheckpointError, ConfigurationError, ToolError, UncertainCallError
from tframex.files import _journal, read_journal
from tframex.sync import _bridge
from tframex.testing import FakeVLLM
from tframex.tools import (
    RunJournal,
    Toolset,
    approve,
    deny,
    pending_calls,
    resolve,
    tool,
)


def killed_runs(folder: Path, *settings: str) -> list[Path]:
    subprocess.run([sys.executable, "-m", "tests.killed_run", str(folder), *settings], cwd=ROOT, check=True)
    return sorted(folder.iterdir())


def effects(folder: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in lines(folder / "effects"))


def decide(error: UncertainCallError) -> None:
    """What a person would do: look whether it has happened."""
    waiting = pending_calls(error.path)
    assert [item.call for item in waiting] == list(error.calls)
    for item in waiting:
        found = happened(Path(error.path).parent, item.key)
        resolve(error.path, item.call, result=found and f"wrote {found}", retry=found is None)


@pytest.mark.parametrize("policy", ["retry", "key", "function", "ask"])
@pytest.mark.parametrize(("order", "answers"), [("sequence", 4), ("parallel", 2)])
def test_a_run_killed_at_any_row_of_its_journal_does_everything_exactly_as_its_tools_say(
    order: str, answers: int, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished call never runs again, one that had not begun runs once, one between the two as `on_uncertain` says."""
    monkeypatch.setattr(_journal, "_SYNCHRONOUS", "OFF")
    with FakeVLLM(answer) as server:
        folders = killed_runs(tmp_path, server.url, order, policy)
        # After the rows of the run, its answers, each call's begin and end, its end; after each effect; and one not killed.
        assert len(folders) == 1 + answers + 6 + 1 + 3 + 1
        uncertain = sum(check(folder, server, order, policy, answers) for folder in folders)
    # Before and after each of the three effects.
    assert uncertain >= 6


def check(folder: Path, server: FakeVLLM, order: str, policy: str, answers: int) -> int:
    """Continue a killed run, and compare. Returns how many calls were uncertain."""

    def asked() -> int:
        return sum(
            request.body["messages"][0]["content"] == f"{order} {folder.name}" for request in server.completions()
        )

    def again() -> str:
        return anyio.run(run, folder, server.url, order, policy)

    before, paid = effects(folder), asked()
    path = folder / "run.sqlite"
    written = {row.name: row for row in read_journal(path)} if path.exists() else {}
    calls = {row.details["call"]["arguments"]: row for row in written.values() if "call" in row.details}
    uncertain = [row for row in calls.values() if not row.done]
    if policy == "ask" and uncertain:
        with pytest.raises(UncertainCallError) as caught:
            again()
        decide(caught.value)
    assert again() == "done"
    after = effects(folder)
    for letter in "abc":
        row = calls.get(json.dumps({"text": letter}))
        if row is None:
            assert (before[letter], after[letter]) == (0, 1), folder.name
        elif row.done:
            assert (before[letter], after[letter]) == (1, 1), folder.name
        else:
            assert after[letter] == (before[letter] + 1 if policy in ("retry", "key") else 1), folder.name
            keys = {line.split()[1] for line in lines(folder / "effects") if line.startswith(letter)}
            assert keys == {row.key}, folder.name
    # An answer is paid again only if the run was killed before it was written.
    journalled = sum(name.endswith("/answer") for name in written)
    assert asked() == paid + answers - journalled, folder.name
    assert paid - journalled in (0, 1)
    if uncertain:
        # And once more: everything is in the journal.
        assert again() == "done"
        assert (effects(folder), asked()) == (after, paid + answers - journalled)
    return len(uncertain)


def everywhere(colour: Colour, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run a body in asyncio, in trio, and as `tframex.sync` does: on the loop of the bridge."""
    return _bridge.run(body) if colour.name == "sync" else anyio.run(body, backend=colour.name)


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(0, f"id of {name} {arguments}", name, arguments)


class Bank:
    """What has been paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    @tool(approve=lambda amount: amount > 10)
    def pay(self, amount: int) -> str:
        self.paid.append(amount)
        return f"paid {amount}"

    def balance(self) -> int:
        return 100 - sum(self.paid)

    async def step(self, path: Path, *calls: ToolCall) -> list[tuple[str, bool]]:
        async with RunJournal(path, "clerk", "Pay.") as journal:
            outcomes = await Toolset([self.pay, self.balance]).run(calls, step="0", recorder=journal)
        return [(outcome.content, outcome.failed) for outcome in outcomes]


APPROVES = "from tframex.tools import approve; import sys; approve(*sys.argv[1:])"


def test_a_call_that_was_approved_in_another_process_runs_once(colour: Colour, tmp_path: Path) -> None:
    bank, path, large = Bank(), tmp_path / "run.sqlite", call("pay", '{"amount": 11}')
    calls = [call("balance"), large, call("pay", '{"amount": 1}')]
    for _ in range(2):
        with pytest.raises(
            ApprovalNeeded, match=r"waits for approval; nothing of this step has run. Decide with `tframex"
        ) as caught:
            everywhere(colour, lambda: bank.step(path, *calls))
        assert (caught.value.calls, caught.value.path) == ((large,), str(path))
    assert bank.paid == []
    (waiting,) = pending_calls(path)
    assert (waiting.call, waiting.step, waiting.why, waiting.key) == (large, "0", "approval", "")
    subprocess.run([sys.executable, "-c", APPROVES, str(path), large.id], cwd=ROOT, check=True)
    assert pending_calls(path) == []
    for _ in range(2):
        outcomes = everywhere(colour, lambda: bank.step(path, *calls))
        assert outcomes[1:] == [("paid 11", False), ("paid 1", False)]
    assert sorted(bank.paid) == [1, 11]


def test_the_model_is_told_that_a_call_was_denied_and_why(colour: Colour, tmp_path: Path) -> None:
    bank, path, large = Bank(), tmp_path / "run.sqlite", call("pay", '{"amount": 11}')
    with pytest.raises(ApprovalNeeded):
        everywhere(colour, lambda: bank.step(path, large))
    deny(path, large, "Too much.")
    assert everywhere(colour, lambda: bank.step(path, large)) == [
        ("The user has denied this call; it was not run. The reason: Too much.", True)
    ]
    assert bank.paid == []


def test_what_a_tool_raised_is_in_the_question_whether_it_has_happened(colour: Colour, tmp_path: Path) -> None:
    path, ran = tmp_path / "run.sqlite", list[str]()

    def send() -> str:
        ran.append("send")
        if len(ran) == 1:
            raise ConnectionError("no route")
        return "sent"

    async def step() -> str:
        async with RunJournal(path, "clerk", "Send.") as journal:
            return (await Toolset([send]).run([call("send")], step="0", recorder=journal))[0].content

    with pytest.raises(ToolError, match="it raised ConnectionError: no route"):
        everywhere(colour, step)
    with pytest.raises(
        UncertainCallError, match=r"may have taken effect or not \(it raised ConnectionError: no route\)"
    ):
        everywhere(colour, step)
    assert pending_calls(path)[0].error == "it raised ConnectionError: no route"
    resolve(path, call("send"), retry=True)
    assert everywhere(colour, step) == "sent"
    assert ran == ["send", "send"]


def test_what_happened_elsewhere_is_told_to_the_model(colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"

    def send() -> str:
        raise ConnectionError

    async def step() -> str:
        async with RunJournal(path, "clerk", "Send.") as journal:
            return (await Toolset([send]).run([call("send")], step="0", recorder=journal))[0].content

    with pytest.raises(ToolError):
        everywhere(colour, step)
    resolve(path, call("send").id, result="It has arrived.")
    assert everywhere(colour, step) == "It has arrived."


def test_a_call_whose_tool_is_gone_is_uncertain(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"

    def send() -> str:
        raise ConnectionError

    async def step(tools: list[Any]) -> None:
        async with RunJournal(path, "clerk", "Send.") as journal:
            await Toolset(tools).run([call("send")], step="0", recorder=journal)

    with pytest.raises(ToolError):
        anyio.run(step, [send])
    with pytest.raises(UncertainCallError, match="there is no tool send any more"):
        anyio.run(step, [])


def test_what_went_wrong_with_a_call_is_not_tried_again(tmp_path: Path) -> None:
    """The conversation that a continued run sends is the one of the run that was killed."""
    path = tmp_path / "run.sqlite"

    def add(a: int) -> int:
        return a

    def more(a: str) -> str:
        return a

    async def step(function: Any, name: str) -> list[str]:
        async with RunJournal(path, "clerk", "Add.") as journal:
            calls = [call("add", '{"a": "x"}'), call("unknown")]
            tools = Toolset([tool(name=name)(function)])
            return [outcome.content for outcome in await tools.run(calls, step="0", recorder=journal)]

    first = anyio.run(step, add, "add")
    assert "a: Input should be a valid integer" in first[0]
    assert anyio.run(step, more, "add") == anyio.run(step, more, "unknown") == first


def test_a_decision_that_nothing_waits_for_is_refused(tmp_path: Path) -> None:
    bank, path = Bank(), tmp_path / "run.sqlite"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        approve(path, "x")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        pending_calls(path)
    assert [*tmp_path.iterdir()] == []
    large = call("pay", '{"amount": 11}')
    with pytest.raises(ApprovalNeeded):
        anyio.run(bank.step, path, large)
    with pytest.raises(
        ConfigurationError, match=r"no call 'x' in .* waits for approval; .*: id of pay .* \(pay, approval\)"
    ):
        approve(path, "x")
    with pytest.raises(ConfigurationError, match="is uncertain"):
        resolve(path, large, retry=True)
    with pytest.raises(ConfigurationError, match="either the result of the call, or retry=True"):
        resolve(path, large)
    approve(path, large)
    with pytest.raises(ConfigurationError, match="what waits for a decision: none"):
        deny(path, large)
    path.write_text("no database")
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        pending_calls(path)


def test_a_run_that_is_alive_is_not_decided_about_but_may_be_looked_at(tmp_path: Path) -> None:
    path, looked = tmp_path / "run.sqlite", list[Any]()

    def look() -> None:
        looked.extend(pending_calls(path))
        with pytest.raises(CheckpointError, match="in use by another run"):
            resolve(path, call("look"), retry=True)

    async def step() -> None:
        async with RunJournal(path, "clerk", "Look.") as journal:
            await Toolset([look]).run([call("look")], step="0", recorder=journal)

    anyio.run(step)
    assert [found.call for found in looked] == [call("look")]


def test_another_prompt_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"

    async def open_(agent_id: str, prompt: Any) -> str:
        async with RunJournal(path, agent_id, prompt) as journal:
            return journal.run_id

    first = anyio.run(open_, "clerk", "Pay.")
    assert anyio.run(open_, "clerk", "Pay.") == first
    for agent_id, prompt in (("clerk", "Pay"), ("cook", "Pay."), ("clerk", [{"role": "user", "content": "Pay."}])):
        with pytest.raises(CheckpointError, match="belongs to another job"):
            anyio.run(open_, agent_id, prompt)


def test_a_complete_answer_is_read_as_it_was_written(colour: Colour, tmp_path: Path) -> None:
    answer = Completion(
        (Choice("text", "thought", "tool_calls", (call("a"), call("b")), ({"token": "x"},), "no"),),
        "m",
        Usage(1, 2, 3, None, True),
        Timings(0.5, 1.5),
        1,
        2,
        ("usage", "[DONE]"),
    )

    async def body() -> None:
        async with RunJournal(tmp_path / "run.sqlite", "clerk", "Pay.") as journal:
            assert await journal.answer("0") is None
            await journal.answered("0", answer)
            assert await journal.answer("0") == answer
        async with RunJournal(tmp_path / "run.sqlite", "clerk", "Pay.") as journal:
            assert await journal.answer("0") == answer

    everywhere(colour, body)


def test_what_a_thread_has_done_is_kept_although_another_tool_has_ended_the_run(colour: Colour, tmp_path: Path) -> None:
    """It was called before the other raised, and cannot be stopped."""
    path, begun, failed = tmp_path / "run.sqlite", threading.Event(), threading.Event()

    def write() -> str:
        begun.set()
        assert failed.wait(30)
        return "written"

    async def fail() -> None:
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        failed.set()
        raise KeyError("x")

    async def step() -> None:
        async with RunJournal(path, "clerk", "Write.") as journal:
            await Toolset([write, fail]).run([call("write"), call("fail")], step="0", recorder=journal)

    with pytest.raises(ToolError):
        everywhere(colour, step)
    assert [found.call.name for found in pending_calls(path)] == ["fail"]
