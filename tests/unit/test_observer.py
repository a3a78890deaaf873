"""What is reported of a call while it happens."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.conftest import USER
from tframex.errors import ModelError, ModelStatusError
from tframex.events import CallResumed, CallRetried, TextPiece
from tframex.exchange import Observer
from tframex.model import VLLMModel
from tframex.model._make_call import make_call
from tframex.testing import FakeVLLM, Fault

pytestmark = pytest.mark.usefixtures("no_wait")

TEXT = "One two three, and a good deal more than that, so that there is a middle to break off in."


class Notes(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def sent(self, kind: str) -> None:
        self.told.append(("sent", kind))

    def first_event(self) -> None:
        self.told.append("first event")

    def broke_off(self, error: ModelError) -> None:
        self.told.append("broke off")

    def retried(self, error: ModelError, *, delay: float, dropped: int) -> None:
        self.told.append(("retried", type(error).__name__, dropped))

    def resumed(self, error: ModelError, *, how: str, tokens: int, delay: float) -> None:
        self.told.append(("resumed", how))

    def ended(self, error: BaseException | None) -> None:
        self.told.append(("ended", type(error).__name__))


async def emitted(server: FakeVLLM, notes: Notes, *, leave: bool = False, **options: Any) -> list[Any]:
    model = VLLMModel("fake", server.url, "k")
    events: list[Any] = []
    try:
        call = make_call(model, USER, options, restartable=True)
        call._exchange.observe(notes)
        call.report("step 1")
        async with call.reading(await model._connector.get()) as arrivals:
            async for batch in arrivals:
                events += call.happened(batch)
                if leave and events:
                    break
    finally:
        await model.close_client()
    return events


def test_retries_and_resumes_are_events_in_their_place_among_the_pieces() -> None:
    notes = Notes()
    with FakeVLLM(TEXT, faults=[Fault.busy(503), Fault.cut(2500)]) as server:
        events = anyio.run(emitted, server, notes)
    kinds = [type(event) for event in events]
    assert kinds[0] is CallRetried
    resumed = kinds.index(CallResumed)
    before = [event.text for event in events[1:resumed]]
    assert "".join(before)
    assert TEXT.startswith("".join(before))
    assert "".join(before + [event.text for event in events[resumed + 1 :]]) == TEXT
    assert events[resumed].tokens == len(before)
    assert {event.step for event in events} == {"step 1"}
    assert set(kinds) == {CallRetried, CallResumed, TextPiece}
    assert notes.told == [
        ("sent", "fresh"),
        "broke off",
        ("retried", "ModelStatusError", 0),
        ("sent", "fresh"),
        "first event",
        "broke off",
        ("resumed", "continue"),
        ("sent", "continue"),
        "first event",
        ("ended", "NoneType"),
    ]


def test_a_retry_can_be_reported_before_its_request_is_sent() -> None:
    async def body() -> None:
        model = VLLMModel("fake", server.url, "k")
        call = make_call(model, USER, {}, restartable=False)
        call.report()
        async with call.reading(await model._connector.get()) as arrivals:
            (event,) = call.happened(await anext(arrivals))
            assert isinstance(event, CallRetried)
            assert isinstance(event.error, ModelStatusError)
            assert len(server.completions()) == 1
        await model.close_client()

    with FakeVLLM(TEXT, faults=[Fault.busy(503)]) as server:
        anyio.run(body)


def test_an_answer_that_starts_over_says_how_much_was_dropped() -> None:
    notes = Notes()
    with FakeVLLM(TEXT, dialect="openai", faults=[Fault.cut(2500)]) as server:
        events = anyio.run(emitted, server, notes)
    at = next(place for place, event in enumerate(events) if isinstance(event, CallRetried))
    assert events[at].dropped == len("".join(event.text for event in events[:at])) > 0
    assert "".join(event.text for event in events[at + 1 :]) == TEXT


def test_whoever_leaves_early_is_told_apart_from_a_failure() -> None:
    notes = Notes()
    with FakeVLLM(TEXT, delay=0.01) as server:
        anyio.run(lambda: emitted(server, notes, leave=True))
    assert notes.told[-1] == ("ended", "GeneratorExit")
    with FakeVLLM(TEXT, faults=[Fault.busy(401)]) as server, pytest.raises(ModelError):
        anyio.run(emitted, server, notes)
    assert notes.told[-1] == ("ended", "AuthenticationError")


def test_a_closed_drop_in_stream_was_left_not_complete() -> None:
    import tframex

    with FakeVLLM(TEXT, delay=0.01) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        messages: Any = USER
        stream: Any = client.chat.completions.create(model="fake", messages=messages, stream=True)
        next(stream)
        notes = Notes()
        stream._exchange.observe(notes)
        stream.close()
    assert notes.told == [("ended", "GeneratorExit")]
