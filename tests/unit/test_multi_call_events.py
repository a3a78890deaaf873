"""The events of many calls, while they happen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import Colour
from tframex.errors import ConfigurationError, PartialFailureError, StreamInterruptedError
from tframex.events import (
    CallResumed,
    CallRetried,
    CallStarted,
    Event,
    ReasoningPiece,
    RunFinished,
    StepFinished,
    TextPiece,
)
from tframex.model import VLLMModel
from tframex.systems import MultiCallSystem, Progress, Samples
from tframex.systems.many import _merged_events
from tframex.testing import Answer, FakeVLLM, Fault

pytestmark = pytest.mark.usefixtures("no_wait")


def told(body: Mapping[str, Any]) -> str:
    return f"Answer {body['seed']}: " + "one two three and more. " * 5


def of_step(events: list[Event], step: str) -> list[Event]:
    return [event for event in events if getattr(event, "step", None) == step]


def kinds(events: list[Event]) -> list[str]:
    """The names of the events; several of one kind in a row are one."""
    names = [type(event).__name__ for event in events]
    return [name for position, name in enumerate(names) if position == 0 or name != names[position - 1]]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPiece))


def test_each_call_emits_its_events_in_order_and_the_last_is_the_samples(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model)))
            events = [event async for event in system.events("Tell", 3, tmp_path, "answer", seed=1)]
        assert isinstance(events[-1], RunFinished)
        samples = events[-1].result
        assert isinstance(samples, Samples)
        assert [sample.path for sample in samples] == [tmp_path / f"answer_{number}.txt" for number in (1, 2, 3)]
        for sample in samples:
            found = of_step(events, str(sample.index))
            assert found[0] == CallStarted(str(sample.index), "sample", "fake")
            assert kinds(found) == ["CallStarted", "TextPiece", "StepFinished"]
            written = (tmp_path / f"answer_{sample.index}.txt").read_text(encoding="utf-8")
            assert text_of(found) == told({"seed": sample.index}) == written
            assert found[-1] == StepFinished(str(sample.index), "sample", sample.completion)
        assert sum(len(of_step(events, step)) for step in "123") == len(events) - 1

    with FakeVLLM(told) as server:
        colour.run(body)


def test_events_of_several_calls_arrive_while_the_others_run(colour: Colour, tmp_path: Path) -> None:
    """Every call has begun before the first is over."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model), max_concurrency=4))
            events = [event async for event in system.events("Tell", 4, tmp_path, seed=1)]
        over = next(position for position, event in enumerate(events) if isinstance(event, StepFinished))
        assert {event.step for event in events[:over] if isinstance(event, CallStarted)} == set("1234")

    with FakeVLLM(told, delay=0.005) as server:
        colour.run(body)


def test_retries_and_continuations_of_a_call_are_events_of_its_step(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model), max_concurrency=1))
            events = [event async for event in system.events("Tell", 2, tmp_path, seed=1)]
        first = of_step(events, "1")
        assert kinds(first) == [
            "CallStarted", "CallRetried", "TextPiece", "CallResumed", "TextPiece", "StepFinished"
        ]  # fmt: skip
        assert text_of(first) == told({"seed": 1})
        assert not any(isinstance(event, (CallRetried, CallResumed)) for event in of_step(events, "2"))

    with FakeVLLM(told, faults=[Fault.busy(), Fault.cut(3000)]) as server:
        colour.run(body)


def test_thoughts_of_a_call_are_events_of_its_step(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", reasoning="separate")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model)))
            events = [event async for event in system.events("Tell", 2, tmp_path)]
        for step in "12":
            found = of_step(events, step)
            assert kinds(found) == ["CallStarted", "ReasoningPiece", "TextPiece", "StepFinished"]
            assert "".join(event.text for event in found if isinstance(event, ReasoningPiece)) == "I wonder."

    with FakeVLLM(Answer("Blue.", "I wonder.")) as server:
        colour.run(body)


def test_a_failed_call_has_no_end_and_its_error_is_in_the_samples(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", resume="never")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model), max_concurrency=1))
            events = [event async for event in system.events("Tell", 2, tmp_path, seed=1)]
        samples = events[-1].result
        assert [event.step for event in events if isinstance(event, StepFinished)] == ["2"]
        assert isinstance(samples[0].error, StreamInterruptedError)
        assert (text_of(of_step(events, "1")), samples[1].ok) == (samples[0].text, True)

    with FakeVLLM(told, faults=[Fault.cut(3000)]) as server:
        colour.run(body)


def test_to_leave_early_closes_the_connections_of_all_calls(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model), max_concurrency=3))
            events = system.events("Tell", 6, tmp_path, seed=1)
            begun = set()
            async for event in events:
                if isinstance(event, TextPiece):
                    begun.add(event.step)
                if len(begun) == 3:
                    break
            await events.aclose()
            # What had arrived has been paid for.
            assert len(list(tmp_path.glob("*.partial"))) == 3
            assert not list(tmp_path.glob("*.txt"))

    with FakeVLLM(lambda _: "word " * 2000, delay=0.005) as server:
        colour.run(body)
        deadline = time.monotonic() + 5
        while any(record.hung_up is None for record in server.completions()) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert [record.hung_up is not None for record in server.completions()] == [True] * 3


def test_a_buffer_for_one_event_loses_none(colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_merged_events, "_WAITING", 1)
    test_each_call_emits_its_events_in_order_and_the_last_is_the_samples(colour, tmp_path)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reader_that_is_slow_holds_the_calls_up(backend: str) -> None:
    emitted = 0

    async def run(emit: _merged_events.Emit) -> Samples:
        nonlocal emitted
        for _ in range(3 * _merged_events._WAITING):
            await emit(TextPiece("x"))
            emitted += 1
        return Samples(())

    async def body() -> None:
        read: list[Event] = []
        async for event in _merged_events.merged_events(run):
            read.append(event)
            assert emitted <= len(read) + _merged_events._WAITING
        assert read == [TextPiece("x")] * emitted + [RunFinished(Samples(()))]

    anyio.run(body, backend=backend)


def test_wrong_arguments_are_raised_and_nothing_is_sent(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", VLLMModel("fake", server.url, "k")))
        for arguments in [("", 2), ("Tell", 0), ("Tell", 2, tmp_path, "a/b")]:
            with pytest.raises(ConfigurationError):
                [event async for event in system.events(*arguments)]
        assert not server.completions()

    with FakeVLLM(told) as server:
        colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_progress_callback_that_raises_ends_the_events_with_what_was_paid_for(backend: str, tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        raise ValueError("enough")

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k") as model:
            system = MultiCallSystem("m", model, max_concurrency=1)
            with pytest.raises(PartialFailureError, match="enough") as caught:
                [event async for event in system.events("Tell", 3, tmp_path, seed=1, progress=stop)]
            assert caught.value.results["call_1"] == told({"seed": 1})

    with FakeVLLM(told, delay=0.001) as server:
        anyio.run(body, backend=backend)
