"""Many concurrent calls: files, samples, votes, judgements."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import Colour
from tframex import sync
from tframex._types import Messages
from tframex.agents import BasicAgent
from tframex.errors import ConfigurationError, ModelStatusError, OutputError, PartialFailureError, RateLimitError
from tframex.model import BaseModel, VLLMModel
from tframex.systems import MultiCallSystem, Progress, Samples
from tframex.systems.many._judging import judged
from tframex.systems.many._voting import certainty, last_line, needed
from tframex.testing import FakeVLLM, Fault, ScriptedModel

CALLS = 1000


def told(body: Mapping[str, Any]) -> str:
    """Its own text for each seed."""
    seed = random.Random(body["seed"])
    return (
        f"Answer {body['seed']}: "
        + " ".join(seed.choices(["sea", "“naïve”", "静か", "\U0001f600", "keeper"], k=20))
        + "."
    )


class Weather:
    """A fifth of all answers are cut somewhere, and after each 150 requests everything is refused for 50 ms."""

    def __init__(self) -> None:
        self.refused = 0
        self._taken = 0
        self._until = 0.0

    def __call__(self, body: Mapping[str, Any]) -> Fault | None:
        if time.monotonic() < self._until:
            self.refused += 1
            return Fault.busy(429, retry_after="0.05") if self._taken % 300 else Fault.busy(503)
        self._taken += 1
        if self._taken % 150 == 0:
            self._until = time.monotonic() + 0.05
        if body.get("seed", 0) % 5 == 0 and "messages" in body and not body.get("continue_final_message"):
            return Fault.cut(random.Random(body["seed"]).randint(900, 5000))
        return None


@pytest.mark.parametrize("max_concurrency", [50, "auto"])
def test_a_thousand_calls_in_bad_weather_bring_a_thousand_whole_files(tmp_path: Path, max_concurrency: Any) -> None:
    weather = Weather()
    steps: list[Progress] = []

    async def body() -> Samples:
        async with VLLMModel("fake", server.url, "k") as model:
            system = MultiCallSystem("multi", model, max_concurrency=max_concurrency)
            return await system.complete("Tell", CALLS, tmp_path, "answer", seed=1, progress=steps.append)

    with FakeVLLM(told, faults=weather) as server:
        samples = anyio.run(body)
        records = server.completions()
    paths = [sample.path for sample in samples if sample.path is not None]
    for number, path in enumerate(paths, start=1):
        assert path.read_bytes() == told({"seed": number}).encode()
    assert len(paths) == CALLS
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert samples.refusals == weather.refused
    # Each was begun once; everything else was refused, or went on where the first request was cut.
    begun = [r for r in records if r.tokens and r.path.endswith("/chat/completions")]
    begun = [r for r in begun if not r.body.get("continue_final_message")]
    assert Counter(r.body["seed"] for r in begun) == dict.fromkeys(range(1, CALLS + 1), 1)
    assert weather.refused > 10
    if max_concurrency == 50:
        # Not the server's connections: it notices late that one has been closed whose answer was cut.
        assert samples.peak == 50
    last = steps[-1]
    assert (last.done, last.total, last.failed, last.running, last.seconds_left) == (CALLS, CALLS, 0, 0, 0.0)
    assert last.tokens_per_second > 0


def test_samples_have_seeds_of_their_own_and_can_be_had_again(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", VLLMModel("fake", server.url, "k")))
        samples = await system.sample("Tell", 5, seed=7)
        assert samples.texts == [told({"seed": seed}) for seed in range(7, 12)]
        assert [sample.index for sample in samples] == [1, 2, 3, 4, 5]
        assert (await system.sample("Tell", 5, seed=7)).texts == samples.texts
        assert samples.usage.completion_tokens == sum(s.completion.usage.completion_tokens for s in samples)
        assert samples.tokens_per_second > 0
        assert samples.calls_per_second > 0
        assert all(sample.ok and sample.path is None and sample.seconds > 0 for sample in samples)
        assert samples.peak <= 5
        samples.raise_for_errors()

    with FakeVLLM(told) as server:
        colour.run(body)


def test_many_prompts_are_answered_in_their_order(colour: Colour) -> None:
    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel(lambda messages: messages[-1]["content"].upper())))
        chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "chat"}]
        assert (await system.map(["one", "two", chat])).texts == ["ONE", "TWO", "CHAT"]
        assert len(await system.map([])) == 0
        with pytest.raises(ConfigurationError, match="not one string"):
            await system.map("one")
        with pytest.raises(ConfigurationError, match="prompt must be a non-empty string"):
            await system.map(["one", ""])

    colour.run(body)


def test_a_failed_call_keeps_its_text_and_its_reason(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        model = VLLMModel("fake", server.url, "k", resume="never")
        system = colour.make(MultiCallSystem("m", model, max_concurrency=1))
        samples = await system.complete("Tell", 2, tmp_path, seed=1)
        assert [sample.ok for sample in samples] == [False, True]
        partial = tmp_path / "output_1.txt.partial"
        assert told({"seed": 1}).startswith(samples[0].text)
        assert partial.read_text(encoding="utf-8") == samples[0].text != ""
        reason = tmp_path / "output_1.txt.error"
        assert "the answer broke off after" in reason.read_text(encoding="utf-8")
        with pytest.raises(
            PartialFailureError, match="1 of 2 calls failed; the first with: the answer broke off"
        ) as caught:
            samples.raise_for_errors()
        assert (list(caught.value.results), list(caught.value.errors)) == (["call_2"], ["call_1"])
        # The next run goes well, and leaves nothing of it.
        await system.complete("Tell", 2, tmp_path, seed=1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["output_1.txt", "output_2.txt"]

    with FakeVLLM(told, faults=[Fault.cut(3000)]) as server:
        colour.run(body)


def test_a_full_disk_fails_one_call_and_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, full = os.fsync, list[int]()

    def fsync(handle: int) -> None:
        if not full:
            full.append(handle)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "output_1.txt").write_text("an older answer")
    system = MultiCallSystem("m", ScriptedModel("an answer"), max_concurrency=1)
    samples = sync.blocking(system).complete("x", 3, tmp_path)
    assert [sample.ok for sample in samples] == [False, True, True]
    assert isinstance(samples[0].error, OutputError)
    assert "No space left on device" in str(samples[0].error)
    assert samples[0].text == "an answer"
    assert (tmp_path / "output_1.txt").read_text() == "an older answer"


def test_a_folder_that_is_removed_in_the_middle_loses_no_answer(tmp_path: Path) -> None:
    folder, removed = tmp_path / "out", threading.Event()

    def remove(progress: Progress) -> None:
        if progress.done == 1:
            # The second call makes the folder again if it opens its file between the two steps.
            for number in range(3):
                folder.rename(tmp_path / f"removed {number}")
                with suppress(IsADirectoryError, PermissionError):
                    folder.write_text("now a file")
                    break
            removed.set()

    model = ScriptedModel(lambda _: "an answer" if len(model.calls) == 1 or removed.wait(60) else "")
    system = MultiCallSystem("m", model, max_concurrency=1)
    samples = sync.blocking(system).complete("x", 3, folder, progress=remove)
    assert [sample.ok for sample in samples] == [True, False, False]
    assert all(isinstance(sample.error, OutputError) for sample in samples.failed)


class Slow(BaseModel):
    """Takes a while, and notes when its calls begin and get their first token."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.seen: list[str] = []

    async def call_stream(self, messages: Messages, **options: Any) -> Any:
        self.seen.append("begin")
        await anyio.sleep(0.01)
        self.seen.append("first")
        yield "x"


def test_the_first_call_may_go_ahead_to_warm_the_prefix_cache() -> None:
    for warm, expected in ((True, ["begin", "first", "begin"]), (False, ["begin", "begin", "begin"])):
        model = Slow()
        anyio.run(MultiCallSystem("m", model, warm_prefix=warm).sample, "x", 4)
        assert model.seen[:3] == expected


def test_calls_wait_for_a_server_that_has_too_much_to_do(no_wait: None) -> None:
    busy = [RateLimitError("busy", status_code=429)] * 7
    samples = anyio.run(MultiCallSystem("m", ScriptedModel([*busy, "at last"])).sample, "x", 1)
    assert samples.texts == ["at last"]
    # One that has never answered may not exist.
    model = VLLMModel("fake", "http://127.0.0.1:9", "k", max_retries=0)
    began = time.monotonic()
    samples = anyio.run(MultiCallSystem("m", model).sample, "x", 1)
    assert "no connection to http://127.0.0.1:9" in str(samples[0].error)
    assert time.monotonic() - began < 30


# -- votes -----------------------------------------------------------------------------------------------------------------


def opinion(question: int, seed: int) -> str:
    """What a model says that knows the answer, which is 7, with the probability that belongs to the question."""
    draw = random.Random(question * 1000 + seed)
    accuracy = 0.2 + 0.6 * random.Random(question).random()
    return "7" if draw.random() < accuracy else str(draw.choice([1, 2, 3, 4, 5, 7]))


class Opinionated(BaseModel):
    """Has an opinion for each seed."""

    def __init__(self, question: int) -> None:
        super().__init__("opinionated")
        self.question = question
        self.calls = 0

    async def call_stream(self, messages: Messages, **options: Any) -> Any:
        self.calls += 1
        yield f"It is\n{opinion(self.question, options['seed'])}."


def test_a_vote_decides_as_well_as_all_samples_for_half_of_the_tokens() -> None:
    questions, most = 300, 32

    async def body() -> tuple[int, int]:
        right = calls = 0
        for question in range(questions):
            model = Opinionated(question)
            vote = await MultiCallSystem("m", model).vote("?", most, seed=0)
            right += vote.answer == "7"
            calls += model.calls
        return right, calls

    right, calls = anyio.run(body)
    everything = sum(
        Counter(opinion(question, seed) for seed in range(most)).most_common(1)[0][0] == "7"
        for question in range(questions)
    )
    print(
        f"right: {right} of {questions}, with all {most} samples {everything}; {calls / questions / most:.1%} of the calls"
    )
    assert right >= everything - questions // 100
    assert calls <= questions * most / 2


def test_what_is_no_longer_needed_is_cancelled_on_the_server() -> None:
    """The server sees it within 100 ms."""

    def answer(body: Mapping[str, Any]) -> str:
        return {2: "b", 4: "b " * 500}.get(body["seed"], "a")

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k") as model:
            vote = await MultiCallSystem("m", model, max_concurrency=16).vote(
                "?", 16, seed=1, confidence=0.9, key=lambda text: text[0]
            )
            decided = time.monotonic()
            await anyio.sleep(0.1)
        assert vote.answer == "a"
        cancelled = [sample for sample in vote.samples if sample.cancelled]
        assert cancelled
        left = [
            record.hung_up for record in server.completions() if record.body["seed"] in {s.index for s in cancelled}
        ]
        assert all(moment is not None and moment - decided < 0.1 for moment in left)

    for _ in range(3):
        with FakeVLLM(answer, delay=0.005) as server:
            anyio.run(body)


class Together(BaseModel):
    """Its first three answers arrive in one tick: the first says nothing, the others agree. A fourth never ends."""

    def __init__(self) -> None:
        super().__init__("together")
        self.calls = 0
        self.vain = False
        self._three = anyio.Event()

    async def call_stream(self, messages: Messages, **options: Any) -> Any:
        self.calls += 1
        number = self.calls
        if number == 3:
            self._three.set()
        await self._three.wait()
        if number > 3:
            await anyio.sleep(5)
            self.vain = True
        yield " " if number == 1 else "yes"


def test_a_vote_that_is_decided_in_the_tick_that_starts_a_call_does_not_wait_for_it(colour: Colour) -> None:
    async def body() -> None:
        model = Together()
        vote = await colour.make(MultiCallSystem("m", model)).vote("?", 9, confidence=0.85)
        assert vote.counts == {"yes": 2}
        assert not model.vain

    colour.run(body)


@pytest.mark.parametrize(("confidence", "calls"), [(1.0, 5), (0.95, 3), (0.6, 1)])
def test_a_vote_without_dissent_ends_early(colour: Colour, confidence: float, calls: int) -> None:
    async def body() -> None:
        model = ScriptedModel("Well,\n  The Answer is  YES. ")
        vote = await colour.make(MultiCallSystem("m", model)).vote("?", 9, confidence=confidence)
        assert vote.answer == "the answer is yes"
        assert calls <= vote.counts["the answer is yes"] <= calls + 1
        assert vote.text == "Well,\n  The Answer is  YES. "
        assert vote.confidence >= confidence
        assert len(vote.samples) <= calls + 1

    colour.run(body)


def test_votes_that_do_not_count_and_calls_that_fail_are_not_the_end(colour: Colour) -> None:
    def key(text: str) -> str | None:
        return None if text == "none" else str(int(text))

    async def body() -> None:
        script: list[str | Exception] = [
            "none",
            ModelStatusError("bad", status_code=400),
            "5",
            "not a number",
            "5",
            "5",
        ]
        vote = await colour.make(MultiCallSystem("m", ScriptedModel(script), max_concurrency=1)).vote("?", 6, key=key)
        assert vote.counts == {"5": 3}
        assert len(vote.samples.failed) == 2
        with pytest.raises(PartialFailureError, match="none of 2 answers says anything that counts"):
            await colour.make(MultiCallSystem("m", ScriptedModel("none"))).vote("?", 2, key=key)
        with pytest.raises(ConfigurationError, match="confidence must be above"):
            await colour.make(MultiCallSystem("m", ScriptedModel("x"))).vote("?", 2, confidence=0.5)
        with pytest.raises(ConfigurationError, match="key must be a function"):
            await colour.make(MultiCallSystem("m", ScriptedModel("x"))).vote("?", 2, key="last")

    colour.run(body)


def test_certainty_is_that_of_the_votes_to_come() -> None:
    draw = random.Random(5)
    for leader, runner_up, left in ((3, 1, 6), (5, 2, 20), (1, 0, 3), (4, 4, 9)):
        ahead, rounds = 0, 20_000
        for _ in range(rounds):
            share = draw.betavariate(leader + 1, runner_up + 1)
            won = sum(draw.random() < share for _ in range(left))
            ahead += leader + won > runner_up + left - won
        assert certainty(leader, runner_up, left, others=0) == pytest.approx(ahead / rounds, abs=0.015)
    assert certainty(5, 1, 3) == 1.0
    assert certainty(10, 2, 10, others=20) < 1.0
    assert needed(0, 0, 8, 0, 1.0) == 5
    assert needed(5, 0, 3, 0, 1.0) == 0


def test_certainty_is_a_probability_in_every_state_of_a_vote() -> None:
    for votes in range(13):
        for leader in range(votes + 1):
            for runner_up in range(min(leader, votes - leader) + 1):
                for left in range(13):
                    found = certainty(leader, runner_up, left, votes - leader - runner_up)
                    assert 0 <= found <= 1
                    # Only a lead that cannot be caught up with is certain.
                    assert (found == 1) == (leader - runner_up > left)


def test_the_last_line_says_what_an_answer_says() -> None:
    assert last_line("<think>so</think>\nfirst\n\n  The   END.\n\n") == "the end"
    assert last_line(" \n ") is None


# -- judges ----------------------------------------------------------------------------------------------------------------


def test_the_best_answer_is_that_with_the_highest_score(colour: Colour) -> None:
    async def score(text: str) -> float | None:
        return None if text == "bb" else len(text)

    async def body() -> None:
        for judge in (len, score):
            best = await colour.make(
                MultiCallSystem("m", ScriptedModel(["a", "ccc", "bb"]), max_concurrency=1)
            ).best_of("?", 3, judge)
            assert (best.text, best.sample.index) == ("ccc", 2)
        assert best.scores == {1: 1, 2: 3}
        with pytest.raises(
            PartialFailureError, match="none of 2 answers got a score; the first failed with: could not"
        ):
            await colour.make(MultiCallSystem("m", ScriptedModel("x"))).best_of("?", 2, float)
        with pytest.raises(ConfigurationError, match="judge must be a function"):
            await colour.make(MultiCallSystem("m", ScriptedModel("x"))).best_of("?", 2, 3)

    colour.run(body)


def test_an_agent_judges_too() -> None:
    def points(messages: Messages) -> str:
        return f"<think>Points: 1</think>Of 100.\nPoints: {90 if 'fine' in messages[-1]['content'] else 20}"

    asked = ScriptedModel(points)
    script = ["bad", "a fine one", "bad"]
    best = anyio.run(MultiCallSystem("m", ScriptedModel(script)).best_of, "The task?", 3, BasicAgent("judge", asked))
    assert best.text == "a fine one"
    assert sorted(best.scores.values()) == [20, 20, 90]
    assert "The task?" in asked.calls[0][0][-1]["content"]
    system = sync.blocking(MultiCallSystem("m", ScriptedModel(script)))
    assert system.best_of("?", 3, sync.blocking(BasicAgent("judge", asked))).text == "a fine one"


@pytest.mark.parametrize(
    ("said", "points"),
    [
        ("Points: 85", 85),
        ("It is good.\n**Points:** 85/100.", 85),
        ("Points (0-100): 85", 85),
        ("85", 85),
        ("Points: 850", None),
        ("I cannot judge; see error 404", None),
        ("", None),
    ],
)
def test_an_agent_s_points_are_read_from_its_last_line(said: str, points: float | None) -> None:
    async def body() -> float | None:
        return await judged(BasicAgent("judge", ScriptedModel(lambda _: said)), "task")("an answer")

    assert anyio.run(body) == points


def test_scores_that_are_no_numbers_do_not_win() -> None:
    scores = iter([float("nan"), 1.0, 2.0])
    best = anyio.run(
        MultiCallSystem("m", ScriptedModel("x"), max_concurrency=1).best_of, "?", 3, lambda _: next(scores)
    )
    assert best.scores == {2: 1.0, 3: 2.0}
    assert best.sample.index == 3


def test_an_answer_that_cannot_go_on_is_begun_anew_where_nobody_has_seen_it(tmp_path: Path, no_wait: None) -> None:
    """The server is gone for some requests in the middle of an answer that has a thought inside."""
    text = "<think>one two three four</think>" + "the answer " * 30
    faults = [Fault.cut(4000), Fault.refuse()]
    with FakeVLLM(text, faults=faults) as server, sync.VLLMModel("fake", server.url, "k", max_retries=0) as model:
        samples = sync.MultiCallSystem("m", model).complete("q", 1, tmp_path)
        again = sync.MultiCallSystem("m", model).sample("q", 1)
    assert again.texts == [text]
    path = tmp_path / "output_1.txt"
    # A file may be read while it grows: nothing in it is taken back.
    assert not samples[0].ok
    partial = path.with_name("output_1.txt.partial").read_text(encoding="utf-8")
    assert partial == samples[0].text
    assert text.startswith(partial)
    assert len(partial) > 10


def test_a_loop_that_was_left_in_the_middle_blocks_nobody() -> None:
    system = MultiCallSystem("m", Slow(), max_concurrency=2)
    loop = asyncio.new_event_loop()
    task = loop.create_task(system.sample("x", 6))
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    # Its tasks never end; the places they hold are not those of the next loop.
    loop.close()
    assert not task.done()
    assert len(anyio.run(system.sample, "x", 3).texts) == 3
    task._log_destroy_pending = False  # type: ignore[attr-defined] # what was left there is not of interest
