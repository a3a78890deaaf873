"""What a user passes in: judges, keys and reports of progress. They may be slow, wait for the event loop, and fail."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.conftest import Colour
from tframex import sync
from tframex._types import Messages
from tframex.agents import BasicAgent
from tframex.errors import PartialFailureError
from tframex.model import BaseModel
from tframex.systems import MultiCallSystem, Progress, _meter
from tframex.tasks import Reports, call_user
from tframex.testing import FakeVLLM, ScriptedModel


class Unending(BaseModel):
    """Its first call has an answer; of all others the first word comes, and never another."""

    def __init__(self) -> None:
        super().__init__("unending")
        self.calls = 0

    async def call_stream(self, messages: Messages, **options: Any) -> Any:
        self.calls += 1
        ends = self.calls == 1
        yield "paid"
        if not ends:
            await anyio.sleep_forever()


@pytest.mark.parametrize("stage", ["answers", "call"])
def test_what_a_progress_callback_raises_ends_the_work_and_loses_no_answer(
    colour: Colour, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing more would have come of the calls in flight."""
    monkeypatch.setattr(_meter, "_APART", 0.0)

    def callback(progress: Progress) -> None:
        if progress.stage == stage:
            raise KeyError("mine")

    async def body() -> None:
        system = colour.make(MultiCallSystem("m", Unending()))
        with pytest.raises(PartialFailureError, match="the progress callback raised KeyError: 'mine'") as caught:
            await system.sample("x", 5, progress=callback)
        assert caught.value.results == {"call_1": "paid"}
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.errors == {"progress": caught.value.__cause__}

    colour.run(body)


def aborting(kind: type[BaseException]) -> Callable[[Any], Any]:
    def abort(_: Any) -> Any:
        raise kind("enough")

    return abort


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["progress", "key", "judge"])
def test_system_exit_in_a_callback_arrives_at_the_caller_and_leaves_everything_usable(
    colour: Colour, kind: type[BaseException], where: str
) -> None:
    abort = aborting(kind)

    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel("an answer")))
        with pytest.raises(kind, match="enough"):
            if where == "progress":
                await system.sample("x", 3, progress=abort)
            elif where == "key":
                await system.vote("x", 3, key=abort)
            else:
                await system.best_of("x", 3, abort)
        assert (await system.sample("x", 3)).texts == ["an answer"] * 3

    colour.run(body)


def test_a_callback_may_use_what_waits_for_the_event_loop(colour: Colour) -> None:
    """A judge that asks a synchronous agent."""
    grader = sync.blocking(BasicAgent("grader", ScriptedModel(lambda messages: str(len(messages[-1]["content"])))))

    def asked(text: str) -> str:
        return grader.run(f"Grade {text}")

    steps: list[str] = []

    async def body() -> None:
        model = ScriptedModel(["a", "bbb", "cc"])
        best = await colour.make(MultiCallSystem("m", model, max_concurrency=1)).best_of(
            "x", 3, lambda text: float(asked(text)), progress=lambda progress: steps.append(asked(progress.detail))
        )
        assert (best.text, best.scores, best.errors) == ("bbb", {1: 7, 2: 9, 3: 8}, {})
        assert steps == ["7", "9", "8"]
        vote = await colour.make(MultiCallSystem("m", ScriptedModel("xxxx"))).vote("x", 3, key=asked)
        assert vote.answer == "10"

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_slow_callback_holds_up_no_stream(backend: str) -> None:
    """Each of them returns only after something else has been done on the event loop."""

    async def body() -> None:
        done = threading.Event()

        async def elsewhere() -> None:
            done.set()

        def patient(value: Any) -> Any:
            assert done.wait(60)
            return 1.0

        system = MultiCallSystem("m", ScriptedModel("an answer"))
        for run in (
            lambda: system.sample("x", 3, progress=patient),
            lambda: system.vote("x", 3, key=lambda text: str(patient(text))),
            lambda: system.best_of("x", 3, patient),
        ):
            done.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await anyio.sleep(0.01)
                group.start_soon(elsewhere)

    anyio.run(body, backend=backend)


def test_a_slow_progress_callback_gets_every_end_of_a_call_in_order_and_the_state_between_them_once(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is inside its first call until all answers are there, and gets no piece that a later report has overtaken."""
    monkeypatch.setattr(_meter, "_APART", 0.0)
    steps: list[tuple[str, int]] = []
    all_there = threading.Event()
    answered: list[None] = []

    class Counting(ScriptedModel):
        async def call_stream(self, messages: Messages, **options: Any) -> Any:
            yield "an "
            answered.append(None)
            if len(answered) == 20:
                all_there.set()
            yield "answer"

    def slow(progress: Progress) -> None:
        assert all_there.wait(60)
        steps.append((progress.stage, progress.done))

    async def body() -> None:
        await colour.make(MultiCallSystem("m", Counting("x"))).sample("x", 20, progress=slow)
        assert [done for stage, done in steps if stage == "call"] == list(range(1, 21))
        # The first, in which it was slow; at most one more, in the moment in which the others were made.
        assert len(steps) <= 22
        steps.clear()
        all_there.clear()
        answered.clear()

    colour.run(body)


@pytest.mark.parametrize(
    ("given", "scores", "best"),
    [
        (["good", 2.0, 1], {2: 2.0, 3: 1.0}, 2),
        ([None, float("nan"), 1], {3: 1.0}, 3),
        ([False, True, float("inf")], {1: 0.0, 2: 1.0}, 2),
    ],
)
def test_a_score_that_is_no_number_costs_no_answer(
    colour: Colour, given: list[Any], scores: dict[int, float], best: int
) -> None:
    async def body() -> None:
        values = iter(given)
        system = colour.make(MultiCallSystem("m", ScriptedModel("x"), max_concurrency=1))
        found = await system.best_of("?", 3, lambda _: next(values))
        assert (found.scores, found.sample.index, len(found.samples.texts)) == (scores, best, 3)
        assert set(found.errors) == ({1} if given[0] == "good" else set())

    colour.run(body)


@pytest.mark.parametrize("given", ["good", None, float("nan"), {}])
def test_where_no_answer_has_a_score_all_of_them_are_on_the_error(colour: Colour, given: Any) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel("paid")))
        with pytest.raises(PartialFailureError, match="none of 2 answers got a score") as caught:
            await system.best_of("?", 2, lambda _: given)
        assert caught.value.results == {"call_1": "paid", "call_2": "paid"}

    colour.run(body)


@pytest.mark.parametrize("key", [lambda text: [text], lambda text: int(text)])
def test_where_a_key_fails_for_all_answers_they_are_on_the_error(colour: Colour, key: Any) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel("paid")))
        with pytest.raises(PartialFailureError, match="none of 2 answers says anything that counts") as caught:
            await system.vote("?", 2, key=key)
        assert caught.value.results == {"call_1": "paid", "call_2": "paid"}
        assert set(caught.value.errors) == {"call_1", "call_2"}

    colour.run(body)


def test_an_asynchronous_key_is_awaited() -> None:
    async def key(text: str) -> str | None:
        await anyio.lowlevel.checkpoint()
        return text[:1] or None

    vote = anyio.run(lambda: MultiCallSystem("m", ScriptedModel("yes")).vote("?", 3, key=key))
    assert vote.answer == "y"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_function_that_is_not_asynchronous_runs_in_a_thread_and_in_the_context_of_its_caller(backend: str) -> None:
    class Graded:
        async def __call__(self, value: int) -> int:
            return threading.get_ident() * value

    async def coroutine() -> int:
        return 5

    async def body() -> None:
        here = threading.get_ident()
        assert await call_user(threading.get_ident) != here
        assert await call_user(Graded(), 1) == here
        # A plain function that returns a coroutine.
        assert await call_user(lambda: coroutine()) == 5

    anyio.run(body, backend=backend)


def test_reports_that_are_forgotten_end_their_thread() -> None:
    """A run that was left in the middle."""

    async def body() -> threading.Thread:
        seen: list[threading.Thread] = []
        first = threading.Event()

        def function(_: int) -> None:
            seen.append(threading.current_thread())
            first.set()

        reports = Reports(function)
        reports.put(1)
        assert first.wait(60)
        del reports
        gc.collect()
        return seen[0]

    thread = anyio.run(body)
    thread.join(60)
    assert not thread.is_alive()


def test_an_answer_that_was_cut_off_has_no_vote(colour: Colour) -> None:
    """Of "the answer is 4 2", `max_tokens` leaves "the answer is 4"."""

    def answer(body: Any) -> str:
        # Two tokens a word.
        return "Let me think . The answer is 4 2 ." if body["seed"] % 2 else "The answer is 4 2 ."

    async def body() -> None:
        async with colour.make(_model(server)) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model), max_concurrency=1))
            options = {"seed": 1, "max_tokens": limit}
            vote = await system.vote("?", 5, confidence=1.0, **options)
            assert vote.counts == {"the answer is 4 2 ": 2}
            # The fifth would not change it.
            assert [sample.truncated for sample in vote.samples[:4]] == [True, False, True, False]
            assert len(vote.samples.truncated) == 2
            assert vote.samples[0].finish_reason == "length"
            assert "raise max_tokens" in vote.samples[0].warnings[0]
            assert (vote.samples[1].finish_reason, vote.samples[1].warnings) == ("stop", ())
            allowed = await system.vote("?", 5, confidence=1.0, allow_truncated=True, **options)
            assert sum(allowed.counts.values()) >= 3
            best = await system.best_of("?", 3, lambda text: len(text), **options)
            assert (best.sample.index, set(best.scores)) == (2, {2})
            best = await system.best_of("?", 3, lambda text: len(text), allow_truncated=True, **options)
            assert set(best.scores) == {1, 2, 3}
            for ask in (system.vote("?", 2, seed=1, max_tokens=2), system.best_of("?", 2, len, seed=1, max_tokens=2)):
                with pytest.raises(PartialFailureError, match=r"2 .*, since they were cut off: .* raise max_tokens"):
                    await ask

    with FakeVLLM(answer) as server:
        limit = 8
        colour.run(body)


def _model(server: FakeVLLM) -> Any:
    from tframex.model import VLLMModel

    return VLLMModel("fake", server.url, "k")
