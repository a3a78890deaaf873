"""When a stream is read again, and what waits for it."""

from __future__ import annotations

import asyncio
import math
from asyncio import selector_events
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tframex.exchange import GATHER, Arrival, Pace
from tframex.exchange._pace import Pacer
from tframex.exchange._ticks import Ticks


def read(pacer: Pacer, now: float, events: int = 1, *, more: bool | None = False, paced: bool = True) -> str | None:
    """One read of `events` pieces; what is handed out."""
    batch = Arrival(["x"] * events, ["x"] * events, [b"{}"] * events, texts=["x"] * events)
    out = pacer.pass_on(batch, now, more, paced=paced)
    return None if out is None else "".join(map(str, out.pieces))


@given(st.lists(st.floats(0.0001, 2.0), min_size=2, max_size=60), st.floats(0.01, 100.0), st.floats(0.0, 30.0))
def test_the_end_of_an_answer_is_not_read_later_than_a_twentieth_of_the_time_it_took(
    gaps: list[float], idle: float, first: float
) -> None:
    """Whenever the end comes, it comes during a wait; a wait is never longer than that, nor than a quarter second."""
    began = 1000.0
    pacer = GATHER.begin(began, idle)
    now = began + first
    for gap in gaps:
        read(pacer, now)
        assert pacer.until == 0 or pacer.until > now
        wait = max(0.0, pacer.until - now)
        assert wait <= 0.05 * (now - began) + 1e-9
        assert wait <= min(0.25, 0.05 * idle) + 1e-9
        now = max(now + gap, pacer.until)


def test_a_wait_in_which_less_than_two_events_would_arrive_is_not_begun() -> None:
    pacer = GATHER.begin(0.0, math.inf)
    for number in range(1, 200):
        now = 0.3 * number
        read(pacer, now)
        if pacer.until:
            pytest.fail(f"0.25 s are no use where events are 0.3 s apart, at {now}")


def test_at_fifty_tokens_a_second_a_read_finds_a_dozen() -> None:
    """The longer an answer, the fewer reads; an answer of ten seconds takes less than a quarter of them."""
    pacer = GATHER.begin(0.0, 60.0)
    arrived, now, reads = 0, 0.2, 0
    while now < 10:
        there = int((now - 0.2) / 0.02 + 1e-6) + 1
        read(pacer, now, there - arrived)
        arrived, reads = there, reads + 1
        now = pacer.until or 0.2 + arrived * 0.02
    assert arrived > 480
    assert reads < arrived / 4


def test_streams_that_wait_about_as_long_are_read_together() -> None:
    """Each moment is a turn of the event loop, however many streams it serves."""
    moments = set()
    for number in range(200):
        pacer = GATHER.begin(0.0, 60.0)
        for event in range(20):
            read(pacer, 9.0 + number / 5000 + event / 20000)
        moments.add(pacer.until)
    assert len(moments) <= 4


@given(st.floats(0.001, 5.0), st.lists(st.floats(0.0001, 1.0), min_size=2, max_size=50))
def test_pieces_are_an_interval_apart_and_the_first_waits_for_nothing(interval: float, gaps: list[float]) -> None:
    """A wait is a quarter second at most, and text that came before its time waits in the pacer."""
    pacer = Pace(interval).begin(0.0, math.inf)
    now, last, held = 1.0, -math.inf, 0
    for gap in gaps:
        out = read(pacer, now)
        held += 1
        if out is None:
            assert last + interval * 1.13 + 1e-9 > now
            assert pacer.due == pytest.approx(last + interval, rel=0.13, abs=0.02)
        else:
            assert out == "x" * held
            assert now >= last + interval - 1e-9
            assert pacer.due == math.inf
            last, held = now, 0
        assert now < pacer.until <= now + 0.2501 + interval / 8
        now = max(now + gap, pacer.until)


def test_text_that_is_there_already_is_handed_out_together() -> None:
    pacer = Pace(1.0).begin(0.0, math.inf)
    assert read(pacer, 1.0, more=True) == "x"
    assert read(pacer, 2.0, more=True) is None
    assert read(pacer, 2.0, 2, more=True) is None
    assert read(pacer, 2.0, more=False) == "xxxx"


def test_where_that_cannot_be_known_no_text_waits() -> None:
    """A read that waits for the next event could not be ended."""
    pacer = Pace(1.0).begin(0.0, math.inf)
    assert [read(pacer, now, more=None) for now in (1.0, 1.2, 1.9, 2.5)] == ["x"] * 4


def test_text_that_waits_is_handed_out_when_it_is_due_though_nothing_follows() -> None:
    pacer = Pace(1.0).begin(0.0, math.inf)
    assert read(pacer, 1.0) == "x"
    assert read(pacer, 1.1) is None
    assert pacer.due == 2.0
    assert read(pacer, 1.5, 0) is None
    assert read(pacer, 2.0, 0) == "x"
    assert pacer.due == math.inf


@pytest.mark.parametrize("interval", [5e-324, 1e-308, 1e-9])
def test_an_interval_may_be_as_short_as_a_float_can_be(interval: float) -> None:
    pacer = Pace(interval).begin(0.0, math.inf)
    assert read(pacer, 1000.0) == "x"
    assert 1000.0 <= pacer.until < 1000.001


def test_the_end_of_an_answer_waits_for_nothing() -> None:
    pacer = Pace(1.0).begin(0.0, math.inf)
    read(pacer, 1.0)
    assert read(pacer, 2.0, more=True) is None
    assert read(pacer, 2.0, more=True, paced=False) == "xx"
    assert pacer.until == 0
    assert pacer.rest() is None


def test_a_wait_is_shorter_than_the_limit_of_silence() -> None:
    pacer = Pace(10.0).begin(0.0, 2.0)
    assert read(pacer, 1.0) == "x"
    assert read(pacer, 1.9) is None
    assert read(pacer, 2.1) == "xx"


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
def test_a_look_that_fails_takes_no_other_of_its_moment_with_it(failure: type[BaseException]) -> None:
    looked: list[int] = []

    def fail(moment: float) -> None:
        raise failure

    async def body(loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda *_: None)
        ticks, moment = Ticks(loop), loop.time()
        for number in range(3):
            ticks.at(moment, lambda _, number=number: looked.append(number))  # type: ignore[misc] # mypy takes it for two
            ticks.at(moment, fail)

    loop = asyncio.new_event_loop()
    with suppress(SystemExit):
        loop.run_until_complete(body(loop))
    for _ in range(12):
        # As many turns as it may take, each of which may end so.
        with suppress(SystemExit):
            loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    assert looked == [0, 1, 2]


def test_asyncio_has_what_a_look_without_the_loop_needs() -> None:
    """Without it nothing fails, but a read costs twice as much."""
    assert callable(selector_events._SelectorSocketTransport._read_ready)  # type: ignore[attr-defined] # private
