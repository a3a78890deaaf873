"""Runs of `ToolAgent` with a checkpoint: the same line continues, and nothing is asked or done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel as Schema

from tests.conftest import Colour
from tests.unit.test_acting import SERVERS
from tests.unit.test_tool_agent import PROMPT, RAIN, agent_of, check_history, playing
from tframex.completion import ToolCall
from tframex.errors import ApprovalNeeded, CheckpointError, RunLimitError, ToolError, UncertainCallError
from tframex.events import RunFinished, StepFinished, TextPiece, ToolResult
from tframex.testing import Answer, FakeVLLM
from tframex.tools import ToolContext, approve, deny, read_run, resolve, tool

PAY = Answer(calls=[("pay", {"amount": 250})])
PAID = Answer("It is paid.")


class Bank:
    """What has been paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.keys: list[str] = []
        self.runs: list[str] = []
        self.down = False

    @tool(approve=lambda amount: amount > 100)
    def pay(self, context: ToolContext, amount: int) -> str:
        """Pay."""
        self.keys.append(context.key)
        self.runs.append(context.run_id)
        if self.down:
            raise ConnectionError("no route to the bank")
        self.paid.append(amount)
        return f"paid {amount}"


@pytest.mark.parametrize("way", SERVERS)
def test_the_same_line_continues_after_an_approval_on_every_server(colour: Colour, tmp_path: Path, way: str) -> None:
    path, bank = tmp_path / "run.sqlite", Bank()

    async def body() -> None:
        with FakeVLLM(playing([PAY, PAID]), **SERVERS[way]) as server:
            agent = agent_of(colour, server, [bank.pay])
            with pytest.raises(ApprovalNeeded):
                await agent.run("Pay.", checkpoint=path)
            asked = len(server.completions())
            with pytest.raises(ApprovalNeeded) as caught:
                await agent.run("Pay.", checkpoint=path)
            (call,) = caught.value.calls
            assert (call.name, caught.value.path, bank.paid) == ("pay", str(path), [])
            assert len(server.completions()) == asked
            approve(path, call)
            for _ in range(2):
                assert await agent.run("Pay.", checkpoint=path) == "It is paid."
                assert bank.paid == [250]
                assert len(server.completions()) == asked + 1
            sent = server.completions()[-1].body["messages"]
        assert "paid 250" in str(sent[-1]["content"])
        record = read_run(path)
        assert (record.state, record.result, record.run_id) == ("finished", "It is paid.", bank.runs[0])

    colour.run(body)


def test_the_model_reads_why_a_call_was_denied(colour: Colour, tmp_path: Path) -> None:
    path, bank = tmp_path / "run.sqlite", Bank()

    async def body() -> None:
        with FakeVLLM(playing([PAY, Answer("I did not pay.")])) as server:
            agent = agent_of(colour, server, [bank.pay])
            with pytest.raises(ApprovalNeeded) as caught:
                await agent.run("Pay.", checkpoint=path)
            deny(path, caught.value.calls[0], "Too much.")
            assert await agent.run("Pay.", checkpoint=path) == "I did not pay."
            sent = server.completions()[-1].body["messages"]
        assert sent[-1]["content"] == "The user has denied this call; it was not run. The reason: Too much."
        assert bank.paid == []

    colour.run(body)


def test_a_run_that_a_tool_has_ended_continues_when_a_person_has_looked(colour: Colour, tmp_path: Path) -> None:
    path, bank = tmp_path / "run.sqlite", Bank()
    bank.down = True
    small = Answer(calls=[("pay", {"amount": 5})])

    async def body() -> None:
        with FakeVLLM(playing([small, PAID])) as server:
            agent = agent_of(colour, server, [bank.pay])
            with pytest.raises(ToolError, match="no route to the bank"):
                await agent.run("Pay.", checkpoint=path)
            bank.down = False
            with pytest.raises(UncertainCallError, match="no route to the bank") as caught:
                await agent.run("Pay.", checkpoint=path)
            resolve(path, caught.value.calls[0], retry=True)
            assert await agent.run("Pay.", checkpoint=path) == "It is paid."
            assert len(server.completions()) == 2
        assert bank.paid == [5]
        assert len(set(bank.keys)) == 1

    colour.run(body)


def test_a_finished_run_is_streamed_and_emitted_again_from_its_file(colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    script = [Answer("I look.", calls=[("weather", {"city": "Bern"})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script)) as server:
            agent = agent_of(colour, server)
            first = [event async for event in agent.events(PROMPT, checkpoint=path)]
            again = [event async for event in agent.events(PROMPT, checkpoint=path)]
            text = "".join([piece async for piece in agent.stream(PROMPT, checkpoint=path)])
            completion = await agent.stream_to_file(PROMPT, tmp_path / "answer.txt", checkpoint=path)
            assert len(server.completions()) == 2
        assert text == "Rain, 12 degrees."
        assert (tmp_path / "answer.txt").read_text() == "Rain, 12 degrees."
        assert isinstance(first[-1], RunFinished)
        assert completion.usage == first[-1].result.usage
        assert [event.from_checkpoint for event in again if isinstance(event, (StepFinished, ToolResult))] == [True] * 3
        assert [event.text for event in again if isinstance(event, TextPiece)] == ["I look.", "Rain, 12 degrees."]

    colour.run(body)


class Forecast(Schema):
    city: str
    degrees: int


def test_a_typed_answer_comes_from_the_file_as_its_type(colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    script = [Answer(calls=[("weather", {"city": "Bern"})]), Answer('{"city": "Bern", "degrees": 12}')]

    async def body() -> None:
        with FakeVLLM(playing(script)) as server:
            agent = agent_of(colour, server, output_type=Forecast)
            for _ in range(2):
                assert await agent.run(PROMPT, checkpoint=path) == Forecast(city="Bern", degrees=12)
            assert len(server.completions()) == 2

    colour.run(body)


def test_calls_of_a_server_that_repeats_its_ids_are_found_again(colour: Colour, tmp_path: Path) -> None:
    path, ran = tmp_path / "run.sqlite", list[int]()

    def note(number: int) -> str:
        ran.append(number)
        if number == 3 and len(ran) == 3:
            raise ConnectionError("gone")
        return f"noted {number}"

    made = tool(on_uncertain="retry")(note)
    script = [Answer(calls=[ToolCall(0, "call_0", "note", f'{{"number": {number}}}')]) for number in (1, 2, 3)]

    async def body() -> None:
        with FakeVLLM(playing([*script, RAIN])) as server:
            agent = agent_of(colour, server, [made])
            with pytest.raises(ToolError):
                await agent.run(PROMPT, checkpoint=path)
            assert await agent.run(PROMPT, checkpoint=path) == "Rain, 12 degrees."
            assert len(server.completions()) == 4
            check_history(server.completions()[-1].body["messages"])
        assert ran == [1, 2, 3, 3]

    colour.run(body)


def test_an_answer_that_was_cut_off_is_asked_for_again_with_a_higher_limit(colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"

    async def body() -> None:
        with FakeVLLM(playing([Answer(calls=[("weather", {"city": "Bern"})]), RAIN])) as server:
            agent = agent_of(colour, server)
            with pytest.raises(RunLimitError, match="in the middle of a call"):
                await agent.run(PROMPT, checkpoint=path, max_tokens=3)
            assert await agent.run(PROMPT, checkpoint=path, max_tokens=100) == "Rain, 12 degrees."

    colour.run(body)


class Reading:
    def __init__(self) -> None:
        self.read = 0

    async def run(self, initial_prompt: str, long_text: str) -> str:
        self.read += 1
        return f"{len(long_text)} characters"


def test_a_long_result_is_read_once(colour: Colour, tmp_path: Path) -> None:
    path, reading, fail = tmp_path / "run.sqlite", Reading(), [True]

    @tool(max_result_tokens=50)
    def page(number: int) -> str:
        return "word " * 500

    @tool(on_uncertain="retry")
    def last() -> str:
        if fail:
            raise ConnectionError(fail.pop())
        return "the last"

    script = [Answer(calls=[("page", {"number": 1})]), Answer(calls=[("last", {})]), RAIN]

    async def body() -> None:
        with FakeVLLM(playing(script)) as server:
            agent = agent_of(colour, server, [page, last], reader=reading)
            with pytest.raises(ToolError):
                await agent.run(PROMPT, checkpoint=path)
            assert await agent.run(PROMPT, checkpoint=path) == "Rain, 12 degrees."
            sent = server.completions()[-1].body["messages"]
        assert reading.read == 1
        assert "2500 characters" in str(sent)

    colour.run(body)


def test_a_checkpoint_is_one_run_s(colour: Colour, tmp_path: Path) -> None:
    """Of one prompt, and of one process at a time."""
    path, refused = tmp_path / "run.sqlite", list[str]()

    async def body() -> None:
        async def again() -> str:
            with pytest.raises(CheckpointError, match="in use by another run") as caught:
                await colour.original(agent).run(PROMPT, checkpoint=path)
            refused.append(str(caught.value))
            return "refused"

        with FakeVLLM(playing([Answer(calls=[("again", {})]), RAIN])) as server:
            agent = agent_of(colour, server, [again])
            assert await agent.run(PROMPT, checkpoint=path) == "Rain, 12 degrees."
            with pytest.raises(CheckpointError, match="belongs to another job"):
                await agent.run("And in Geneva?", checkpoint=path)
            assert len(server.completions()) == 2
        assert len(refused) == 1

    colour.run(body)
