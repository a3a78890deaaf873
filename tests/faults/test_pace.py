"""Answers that are read now and then: nothing is lost, late or forgotten while bytes are left with the operating system."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import pytest

import tframex
from tests.conftest import USER, Colour
from tframex import ModelTimeoutError, sync
from tframex.completion import Completion, Delta
from tframex.errors import ConfigurationError
from tframex.events import RunFinished, TextPiece
from tframex.exchange import GATHER, Pace, RetryBudget
from tframex.exchange._tapped_body import TappedBody
from tframex.model import VLLMModel, _make_call, unwatched
from tframex.systems import MultiCallSystem
from tframex.tasks import map_bounded
from tframex.testing import Answer, FakeVLLM, Fault

pytestmark = pytest.mark.usefixtures("no_wait")

MESSAGES: Any = USER
TEXT = "Red, green and blue are colours of light; “静か” is quiet. " * 6


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is not shown is read every 20 ms."""
    monkeypatch.setattr(_make_call, "GATHER", Pace(share=1e9, most=0.02))


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is not shown is read every minute: a test that needs that read does not end."""
    monkeypatch.setattr(_make_call, "GATHER", Pace(share=1e9, most=60.0))


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When connections were left alone."""
    found: list[float] = []
    hold = TappedBody.hold

    def noted(self: TappedBody, until: float) -> bool:
        found.append(until)
        return hold(self, until)

    monkeypatch.setattr(TappedBody, "hold", noted)
    return found


def model_of(server: FakeVLLM, **settings: Any) -> VLLMModel:
    return VLLMModel("fake", server.url, "k", default_max_tokens=1000, **settings)


@pytest.mark.usefixtures("rarely")
def test_an_answer_that_is_not_shown_is_read_in_few_pieces(holds: list[float]) -> None:
    """`call` and the events of a run that may start over; a stream is read at every token."""

    async def body() -> None:
        async with model_of(server) as model:
            completion = await model.call(USER)
            assert completion.text == TEXT
            assert completion.usage is not None
            assert holds
            holds.clear()
            pieces = [event async for event in model.events(USER, restart=True) if isinstance(event, TextPiece)]
            assert "".join(piece.text for piece in pieces) == TEXT
            assert sum(piece.tokens for piece in pieces) == completion.usage.completion_tokens - 1
            assert len(pieces) < completion.usage.completion_tokens / 2
            assert holds
            holds.clear()
            assert "".join([piece async for piece in model.call_stream(USER)]) == TEXT
            assert not holds

    with FakeVLLM(TEXT, delay=0.002, coalesce=5) as server:
        asyncio.run(body())


@pytest.mark.usefixtures("rarely")
def test_the_calls_of_a_system_are_read_so_unless_their_events_are(holds: list[float]) -> None:
    async def body() -> None:
        async with model_of(server) as model:
            system = MultiCallSystem("s", model)
            assert (await system.sample("x", 2)).texts == [TEXT] * 2
            assert holds
            holds.clear()
            with anyio.fail_after(60):
                files = [event async for event in system.events("x", 1, folder)]
            assert isinstance(files[-1], RunFinished)
            assert not holds

    with FakeVLLM(TEXT, delay=0.002, coalesce=5) as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(body())


@pytest.mark.usefixtures("rarely")
def test_connections_are_used_again() -> None:
    async def body() -> None:
        async with model_of(server) as model:
            for _ in range(20):
                assert (await model.call(USER)).text == TEXT

    with FakeVLLM(TEXT, coalesce=7, delay=0.001) as server:
        asyncio.run(body())
    assert server.connections == 1


@pytest.mark.usefixtures("seldom")
def test_a_cancelled_call_is_closed_while_its_connection_is_left_alone(holds: list[float]) -> None:
    """The server sees it, though what it sends is not read for a minute."""

    async def body() -> None:
        async with model_of(server, idle_timeout=None) as model:
            task = asyncio.create_task(model.call(USER))
            with anyio.fail_after(60):
                while not holds or server.tokens < 20:  # noqa: ASYNC110 - the server is on another thread
                    await asyncio.sleep(0.01)
            task.cancel()
            left = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            while server.requests[-1].hung_up is None and time.monotonic() < left + 5:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        assert server.requests[-1].hung_up is not None

    with FakeVLLM(TEXT * 50, delay=0.01) as server:
        asyncio.run(body())


@pytest.mark.usefixtures("seldom")
def test_the_total_limit_holds_while_a_connection_is_left_alone(holds: list[float]) -> None:
    async def body() -> None:
        async with model_of(server, idle_timeout=None) as model:
            with pytest.raises(ModelTimeoutError) as caught:
                await model.call(USER, total_timeout=0.5)
            assert caught.value.phase == "total"
            assert caught.value.partial

    with FakeVLLM(TEXT * 50, delay=0.01) as server:
        asyncio.run(body())
    # A wait that would have lasted beyond it was not begun.
    assert not holds


def test_silence_is_noticed_and_what_lies_in_the_kernel_is_none(colour: Colour) -> None:
    """The interval is longer than the limit of silence; events arrive all the time, then none."""

    async def body() -> None:
        async with colour.make(model_of(server, idle_timeout=0.5, resume="never", max_retries=0)) as client:
            found = [item async for item in client.stream(USER, interval=30)]
            assert found[-1].text == TEXT
            with pytest.raises(ModelTimeoutError) as caught:
                await client.call(USER)
            assert caught.value.phase == "idle"
            assert caught.value.partial
            assert TEXT.startswith(caught.value.partial)

    with FakeVLLM(TEXT, delay=0.01, faults=[None, Fault.stall(9000)]) as server:
        colour.run(body)


@pytest.mark.usefixtures("rarely")
@pytest.mark.parametrize("ending", ["reset", "clean end"])
@pytest.mark.parametrize("ids", [True, False])
def test_cut_anywhere_between_two_reads_the_answer_is_the_same(ending: str, ids: bool, holds: list[float]) -> None:
    seen: set[int] = set()

    def cut(request: Any) -> Fault | None:
        if "prompt" in request or request.get("continue_final_message"):
            return None
        at = int(request["messages"][0]["content"])
        if at in seen:
            return None
        seen.add(at)
        return Fault.cut(at) if ending == "reset" else Fault.end(at)

    async def one(model: VLLMModel, at: int) -> None:
        completion = await model.call([{"role": "user", "content": str(at)}])
        assert completion.text == TEXT, f"cut at {at}"
        assert completion.resumes + completion.retries == 1

    async def body() -> None:
        async with model_of(server) as model:
            model._budget = RetryBudget(tokens=10**6)
            model._lookup.served.token_ids = ids
            if not ids:
                model._lookup.served.learn_from_chunk = lambda chunk: None  # type: ignore[method-assign] # it tells nothing
            await map_bounded(partial(one, model), range(300, 20000, 191), 12)

    with FakeVLLM(TEXT, delay=0.003, faults=cut) as server:
        asyncio.run(body())
    assert holds


# -- streams at an interval --------------------------------------------------------------------------------------------


def test_at_an_interval_a_stream_has_fewer_pieces_and_the_same_text(colour: Colour) -> None:
    """Each piece says how many tokens it is."""

    async def body() -> None:
        async with colour.make(model_of(server)) as client:
            texts = [piece async for piece in client.call_stream(USER, interval=0.05)]
            assert "".join(texts) == TEXT
            *pieces, completion = [piece async for piece in client.stream(USER, interval=0.05)]
            assert isinstance(completion, Completion)
            assert "".join(piece.content for piece in pieces) == TEXT
            tokens = sum(piece.tokens for piece in pieces)
            assert completion.usage is not None
            assert tokens == completion.usage.completion_tokens - 1
            events = [event async for event in client.events(USER, interval=0.05)]
            shown = [event for event in events if isinstance(event, TextPiece)]
            assert sum(event.tokens for event in shown) == tokens
            for found in (texts, pieces, shown):
                assert 2 < len(found) < tokens / 2
            assert all("interval" not in record.body for record in server.completions())

    with FakeVLLM(TEXT, delay=0.004, coalesce=3) as server:
        colour.run(body)


def test_an_interval_of_the_model_holds_for_its_agents_and_a_call_s_own_for_that_call(colour: Colour) -> None:
    async def body() -> None:
        model = model_of(server, interval=0.05)
        async with colour.make(model) as client:
            agent = colour.make(tframex.BasicAgent("a", model))
            few = [piece async for piece in agent.stream("x")]
            many = [piece async for piece in agent.stream("x", interval=0)]
            assert "".join(few) == "".join(many) == TEXT
            assert len(few) < len(many) / 2
            assert (await client.call(USER)).text == TEXT

    with FakeVLLM(TEXT, delay=0.004, coalesce=3) as server:
        colour.run(body)


def test_reasoning_is_joined_with_reasoning(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(model_of(server, reasoning="separate")) as client:
            *pieces, completion = [piece async for piece in client.stream(USER, interval=0.05)]
            assert "".join(piece.reasoning for piece in pieces) == completion.reasoning == TEXT
            assert "".join(piece.content for piece in pieces) == completion.text == "Blue."
            assert not any(piece.reasoning and piece.content for piece in pieces)
            assert len(pieces) < sum(piece.tokens for piece in pieces) / 2

    with FakeVLLM(Answer("Blue.", TEXT), delay=0.004, coalesce=3) as server:
        colour.run(body)


@pytest.mark.parametrize("interval", [-1, True, "0.05", float("inf"), float("nan"), None])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    async def body() -> None:
        async with VLLMModel("fake", "http://localhost:1", "k") as model:
            with pytest.raises(ConfigurationError, match="interval must be a number of seconds"):
                await model.call(USER, interval=interval)
            with pytest.raises(ConfigurationError, match="interval must be a number of seconds"):
                await MultiCallSystem("s", model).sample("x", 2, interval=interval)

    asyncio.run(body())
    for kind in (tframex.AsyncOpenAI, tframex.OpenAI):
        with pytest.raises(ConfigurationError, match="interval"):
            kind(base_url="http://localhost:1", api_key="k", interval=interval)
    for model in (VLLMModel, sync.VLLMModel):
        with pytest.raises(ConfigurationError, match="interval"):
            model("fake", "http://localhost:1", "k", interval=interval)


def test_an_interval_makes_it_no_other_call() -> None:
    """A checkpoint of a run without one is continued."""
    model = VLLMModel("fake", "http://localhost:1", "k", interval=1.0)
    assert model.shaping({"interval": 0.05}) == model.shaping({}) == VLLMModel("fake", "http://x:1", "k").shaping({})
    assert unwatched(model, {"interval": 0.05, "seed": 1}) == {"interval": GATHER, "seed": 1}


def test_a_model_with_its_own_events_gets_no_option_that_the_user_did_not_give(colour: Colour) -> None:
    class Own(VLLMModel):
        async def events(self, messages: Any, *, restart: bool = False) -> Any:  # type: ignore[override] # fewer options
            async with aclosing(super().events(messages, restart=restart)) as events:
                async for event in events:
                    yield event

    async def body() -> None:
        model = Own("fake", server.url, "k", default_max_tokens=1000)
        async with colour.make(model):
            system = colour.make(MultiCallSystem("s", model))
            assert (await system.sample("x", 2)).texts == [TEXT] * 2

    with FakeVLLM(TEXT) as server:
        colour.run(body)


@pytest.mark.parametrize("kind", ["asyncio", "trio", "sync"])
def test_the_drop_in_clients_join_text_and_nothing_else(kind: str) -> None:
    keywords: dict[str, Any] = {"model": "fake", "messages": USER, "stream": True, "max_tokens": 1000}
    keywords["stream_options"] = {"include_usage": True}

    def check(chunks: list[Any]) -> None:
        texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert "".join(texts) == TEXT
        assert 2 < len(texts) < server.completions()[0].tokens / 2
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        assert sum(1 for c in chunks if c.choices and c.choices[0].delta.role) == 1
        assert sum(1 for c in chunks if c.usage) == 1
        assert len({c.id for c in chunks}) == 1

    async def asynchronous() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k", interval=0.05) as client:
            for _ in range(2):
                stream: Any = await client.chat.completions.create(**keywords)
                check([chunk async for chunk in stream])
            every = client.with_options(interval=0)
            assert every.with_options(max_retries=1)._tframex.interval == 0
            stream = await every.chat.completions.create(**keywords)
            assert len([chunk async for chunk in stream]) > len(TEXT.split())

    with FakeVLLM(TEXT, delay=0.004, coalesce=3, faults=[None, Fault.cut(9000)]) as server:
        if kind != "sync":
            anyio.run(asynchronous, backend=kind)
            return
        with tframex.OpenAI(base_url=server.url, api_key="k", interval=0.05) as client:
            for _ in range(2):
                check(list(client.chat.completions.create(**keywords)))
            every = client.with_options(interval=0)
            assert len(list(every.chat.completions.create(**keywords))) > len(TEXT.split())


def test_delta_counts_its_tokens() -> None:
    assert Delta("x") == Delta("x", tokens=1)
    assert Delta("x") != Delta("x", tokens=2)


def test_a_stream_that_is_cut_between_two_reads_hands_out_what_came_before() -> None:
    """The synchronous client finds text and the end of its connection in one read."""
    with (
        FakeVLLM(TEXT, coalesce=10, faults=[Fault.cut(9000)]) as server,
        tframex.OpenAI(base_url=server.url, api_key="k", interval=0.05, resume="never") as client,
    ):
        stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True, max_tokens=1000)
        found: list[str] = []
        with pytest.raises(tframex.APIStreamInterruptedError) as caught:
            found.extend(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert len("".join(found)) > 20
    assert caught.value.partial == "".join(found)
