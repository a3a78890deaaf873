"""Progress of the systems for long texts: reported beside the event loop, in order, and at no one's cost."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests.conftest import USER, Colour
from tframex._types import Messages
from tframex.errors import ModelStatusError, PartialFailureError
from tframex.systems import ChainOfAgents, MapReduceSystem, Progress
from tframex.testing import ScriptedModel

TEXT = "\n\n".join(f"Keeper number {number} was called Name{number}. He wrote down every ship." for number in range(40))


def reader(messages: Messages) -> str:
    prompt = messages[-1]["content"]
    found = sorted(set(re.findall(r"Name\d+", prompt)), key=lambda name: int(name[4:]))
    return " ".join(found) if prompt.endswith("Notes:") else f"{len(found)} names"


async def run(system: Any, how: str, **options: Any) -> str:
    """A run on the text, by each of the methods that take a callback."""
    if how == "run":
        return str(await system.run("How many?", TEXT, **options))
    if how == "complete":
        return str((await system.complete("How many?", TEXT, **options)).text)
    if how == "stream":
        return "".join([piece async for piece in system.stream("How many?", TEXT, **options)])
    if how == "events":
        return str([event async for event in system.events("How many?", TEXT, **options)][-1].result.text)
    return str((await system.run_many("How many?", [TEXT, TEXT, TEXT], **options))[0].text)


WAYS = ["run", "complete", "stream", "events", "run_many"]


def together(colour: Colour, *bodies: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Concurrent tasks, or in the colour "sync" threads."""
    if colour.name == "sync":
        threads = [threading.Thread(target=colour.run, args=[body]) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for body in bodies:
                group.start_soon(body)

    colour.run(main)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("how", WAYS)
def test_a_slow_progress_callback_holds_up_no_stream(colour: Colour, how: str, asynchronous: bool) -> None:
    """It returns only when a stream that began meanwhile has been read to its end."""
    entered, read, seen = threading.Event(), threading.Event(), []

    def waiting(progress: Progress) -> None:
        entered.set()
        assert read.wait(20), "the stream was held up"
        seen.append(progress)

    async def awaiting(progress: Progress) -> None:
        entered.set()
        assert await anyio.to_thread.run_sync(read.wait, 20)
        seen.append(progress)

    async def work() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(reader), chunk_size=150, max_notes=400))
        assert await run(system, how, progress=awaiting if asynchronous else waiting) == "40 names"

    async def elsewhere() -> None:
        if colour.name == "sync":
            entered.wait(60)
        else:
            await anyio.to_thread.run_sync(entered.wait, 60)
        pieces = [piece async for piece in colour.make(ScriptedModel("a b c")).call_stream(USER)]
        assert "".join(pieces) == "a b c"
        read.set()

    together(colour, work, elsewhere)
    assert len(seen) > 2


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", [ChainOfAgents, MapReduceSystem])
@pytest.mark.parametrize("how", WAYS)
def test_every_report_arrives_in_order_and_before_the_end(
    colour: Colour, how: str, kind: Any, asynchronous: bool
) -> None:
    """It is inside its first report until the last request was sent."""
    last = threading.Event()
    reports: list[Progress] = []

    def script(messages: Messages) -> str:
        answer = reader(messages)
        finals.append(answer) if answer.endswith(" names") else None
        if len(finals) == (3 if how == "run_many" else 1):
            last.set()
        return answer

    def slow(progress: Progress) -> None:
        assert last.wait(30) or how == "run_many"
        reports.append(progress)

    async def asynchronously(progress: Progress) -> None:
        await anyio.lowlevel.checkpoint()
        reports.append(progress)

    async def body() -> None:
        system = colour.make(kind("c", ScriptedModel(script), chunk_size=150, max_notes=400))
        assert await run(system, how, progress=asynchronously if asynchronous else slow) == "40 names"
        count = len(reports)
        assert [report.done for report in reports] == list(range(1, count + 1))
        assert reports[-1].done == reports[-1].total
        assert reports[-1].detail == "40 names" or how == "run_many"

    finals: list[str] = []
    colour.run(body)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("how", WAYS)
def test_what_a_progress_callback_raises_ends_the_work_and_loses_nothing_that_was_paid_for(
    colour: Colour, tmp_path: Path, how: str, asynchronous: bool, last: bool, kept: bool
) -> None:
    at = {(False, "run_many"): 2, (True, "run_many"): 3}.get((last, how), 3)

    def raising(progress: Progress) -> None:
        if progress.stage == "answer" if last and how != "run_many" else progress.done == at:
            raise KeyError("mine")

    async def asynchronously(progress: Progress) -> None:
        raising(progress)

    async def body() -> None:
        model = ScriptedModel(reader)
        options = {"checkpoint": tmp_path / "job"} if kept else {}
        system = colour.make(ChainOfAgents("c", model, chunk_size=150, max_notes=400, max_concurrency=1))
        with pytest.raises(PartialFailureError, match="the progress callback raised KeyError: 'mine'") as caught:
            await run(system, how, progress=asynchronously if asynchronous else raising, **options)
        assert caught.value.errors == {"progress": caught.value.__cause__}
        assert isinstance(caught.value.__cause__, KeyError)
        found = caught.value.results
        assert len(found) >= at
        if how == "run_many":
            assert {result.text for result in found.values()} == {"40 names"}
        elif last:
            assert found["0/answer"] == "40 names"
        else:
            assert found["0/0"].startswith("Name0 Name1 ")
        paid = len(model.calls)
        assert await run(system, how, **options) == "40 names"
        if kept:
            # What was in flight may have been asked again.
            calls = [str(messages) for messages, _ in model.calls]
            assert len(calls) - len(set(calls)) <= (len(calls) - len(set(calls[:paid])) if how == "run_many" else 1)
            assert not last or how == "run_many" or len(calls) == paid

    colour.run(body)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("how", WAYS)
def test_system_exit_in_a_callback_arrives_at_the_caller_and_leaves_everything_usable(
    colour: Colour, how: str, kind: type[BaseException], asynchronous: bool
) -> None:
    def leave(_: Progress) -> None:
        raise kind("enough")

    async def asynchronously(_: Progress) -> None:
        raise kind("enough")

    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(reader), chunk_size=150, max_notes=400))
        with pytest.raises(kind, match="enough"):
            await run(system, how, progress=asynchronously if asynchronous else leave)
        assert await run(system, how) == "40 names"

    colour.run(body)


def test_the_error_of_the_work_takes_precedence_over_that_of_the_callback(colour: Colour) -> None:
    def script(messages: Messages) -> str:
        raise ModelStatusError("down", status_code=500)

    async def body() -> None:
        system = colour.make(ChainOfAgents("c", ScriptedModel(script), chunk_size=150, max_notes=400))
        with pytest.raises(ModelStatusError, match="down"):
            await system.run("How many?", TEXT, progress=lambda _: None)

    colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_run_waits_for_a_callback_that_is_in_a_thread_and_cancels_one_that_is_awaited(backend: str) -> None:
    """Nothing of either runs when the run is over."""
    left: list[str] = []

    async def body() -> None:
        for asynchronous in (False, True):
            entered, over = threading.Event(), threading.Event()

            def waiting(_: Progress, entered: Any = entered, over: Any = over) -> None:
                entered.set()
                over.wait(60)
                left.append("thread")

            async def awaiting(_: Progress, entered: Any = entered) -> None:
                entered.set()
                try:
                    await anyio.sleep_forever()
                finally:
                    left.append("task")

            system = ChainOfAgents("c", ScriptedModel(reader), chunk_size=150, max_notes=400)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def cancel(entered: Any = entered, over: Any = over, scope: Any = scope) -> None:
                        await anyio.to_thread.run_sync(entered.wait, 60)
                        scope.cancel()
                        over.set()

                    group.start_soon(cancel)
                    await system.run("How many?", TEXT, progress=awaiting if asynchronous else waiting)
            assert left[-1] == ("task" if asynchronous else "thread")

    anyio.run(body, backend=backend)
    assert (left[0], left.count("task")) == ("thread", 1)
