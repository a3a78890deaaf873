"""Calls of tools: together, each once, told or raised."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from tests.conftest import Colour
from tframex import sync
from tframex.completion import ToolCall
from tframex.errors import ApprovalNeeded, ConfigurationError, ToolError, UncertainCallError
from tframex.events import Event, ToolProgress, ToolResult, ToolStarted
from tframex.sync import _bridge
from tframex.tools import (
    AskAgain,
    RunJournal,
    ToolContext,
    ToolFailure,
    ToolOutcome,
    Toolset,
    distinct_calls,
    read_run,
    tool,
)


def call(name: str, arguments: str = "{}", id_: str = "") -> ToolCall:
    return ToolCall(0, id_ or f"id of {name} {arguments}", name, arguments)


def everywhere(colour: Colour, body: Callable[[], Awaitable[Any]]) -> Any:
    """Run a body in asyncio, in trio, and as `tframex.sync` does: on the loop of the bridge."""
    return _bridge.run(body) if colour.name == "sync" else anyio.run(body, backend=colour.name)


def contents(outcomes: list[ToolOutcome]) -> list[str]:
    return [outcome.content for outcome in outcomes]


@pytest.mark.parametrize(("first", "last"), [("awaited", "threaded"), ("threaded", "awaited")])
def test_parallel_calls_run_together_and_keep_their_order(colour: Colour, first: str, last: str) -> None:
    """The first can end only when the last has: an asynchronous and a synchronous one, in either order."""
    ended = threading.Event()

    async def awaited(wait: bool) -> str:
        while wait and not ended.is_set():
            await anyio.lowlevel.checkpoint()
        ended.set()
        return "awaited"

    def threaded(wait: bool) -> str:
        if wait:
            assert ended.wait(30)
        ended.set()
        return "threaded"

    calls = [call(first, '{"wait": true}'), call(last, '{"wait": false}')]
    outcomes = everywhere(colour, lambda: Toolset([awaited, threaded]).run(calls))
    assert contents(outcomes) == [first, last]
    assert [outcome.call for outcome in outcomes] == calls


def test_synchronous_functions_run_in_other_threads_and_may_use_tframex_sync(colour: Colour) -> None:
    def nested() -> list[Any]:
        async def inner() -> int:
            return 7

        return [threading.get_ident(), _bridge.run(inner)]

    async def body() -> None:
        (outcome,) = await Toolset([nested]).run([call("nested")])
        assert outcome.content.endswith(",7]")
        assert str(threading.get_ident()) not in outcome.content

    everywhere(colour, body)


def test_the_same_call_sent_twice_runs_once(colour: Colour) -> None:
    ran: list[int] = []

    def pay(amount: int) -> str:
        ran.append(amount)
        return f"paid {amount}"

    calls = [
        call("pay", '{"amount": 1}', "a"),
        call("pay", '{"amount": 2}', "b"),
        call("pay", '{"amount": 1}', "a"),
        call("pay", '{"amount": 2}', "b"),
    ]
    outcomes = everywhere(colour, lambda: Toolset([pay]).run(calls))
    assert contents(outcomes) == ["paid 1", "paid 2", "paid 1", "paid 2"]
    assert sorted(ran) == [1, 2]


def test_different_calls_of_a_server_that_makes_no_ids_all_run() -> None:
    ran: list[int] = []

    def pay(amount: int) -> str:
        ran.append(amount)
        return f"paid {amount}"

    calls = [ToolCall(number, id_, "pay", f'{{"amount": {number}}}') for number, id_ in enumerate(["", "", "x", "x"])]
    outcomes = anyio.run(Toolset([pay]).run, [*calls, calls[3]])
    assert contents(outcomes) == ["paid 0", "paid 1", "paid 2", "paid 3", "paid 3"]
    assert sorted(ran) == [0, 1, 2, 3]
    ids = [item.id for item in distinct_calls(calls)]
    assert ids == ["call_0", "call_1", "x", "call_3"]
    assert [outcome.message()["tool_call_id"] for outcome in outcomes] == [*ids, "call_3"]


def test_an_id_that_is_made_is_none_that_another_call_has() -> None:
    calls = [ToolCall(0, "", "a", "{}"), ToolCall(1, "call_0", "a", "{}"), ToolCall(2, "call_0", "b", "{}")]
    ids = [item.id for item in distinct_calls(calls)]
    assert len(set(ids)) == 3
    assert ids[1] == "call_0"


def test_an_unknown_tool_is_told_which_there_are(colour: Colour) -> None:
    def weather(city: str) -> str:
        return "sunny"

    outcomes = everywhere(
        colour, lambda: Toolset([weather]).run([call("climate"), call("weather", '{"city": "Bern"}')])
    )
    assert contents(outcomes) == ["There is no tool 'climate'. The tools are: weather.", "sunny"]
    assert [outcome.failed for outcome in outcomes] == [True, False]


def test_arguments_that_do_not_fit_are_told_to_the_model_and_the_others_run(colour: Colour) -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    calls = [call("add", '{"a": "x"}'), call("add", '{"a": 1'), call("add", '{"a": 1}')]
    outcomes = everywhere(colour, lambda: Toolset([add]).run(calls))
    assert "a: Input should be a valid integer, unable to parse string as an integer" in outcomes[0].content
    assert "Invalid JSON: EOF while parsing" in outcomes[1].content
    assert [(outcome.failed, outcome.content) for outcome in outcomes][2] == (False, "2")


@pytest.mark.parametrize("kind", [AskAgain, ToolFailure])
def test_a_tool_may_tell_the_model_that_it_has_failed(colour: Colour, kind: type[ToolFailure]) -> None:
    def weather(city: str) -> str:
        raise kind(f"There is no city {city}.")

    async def silent() -> None:
        raise kind

    outcomes = everywhere(
        colour, lambda: Toolset([weather, silent]).run([call("weather", '{"city": "X"}'), call("silent")])
    )
    assert [(outcome.content, outcome.failed) for outcome in outcomes] == [
        ("There is no city X.", True),
        ("silent has failed", True),
    ]


def test_any_other_error_ends_the_run_with_the_tool_s_name_and_stops_its_siblings(colour: Colour) -> None:
    cancelled: list[str] = []

    def broken() -> None:
        raise KeyError("gone")

    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:
            cancelled.append("slow")
            raise

    with pytest.raises(ToolError, match="the tool broken ended the run: it raised KeyError: 'gone'") as caught:
        everywhere(colour, lambda: Toolset([broken, slow]).run([call("slow"), call("broken", id_="c1")]))
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.tool, caught.value.calls) == ("broken", (call("broken", id_="c1"),))
    assert cancelled == ["slow"]


def test_what_cannot_be_written_ends_the_run_too(colour: Colour) -> None:
    def give() -> object:
        return object()

    with pytest.raises(ToolError, match="the tool give ended the run: it raised TypeError: the tool give returned"):
        everywhere(colour, lambda: Toolset([give]).run([call("give")]))


class Own(BaseException):
    pass


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Own])
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_no_exception_passes_through_as_it_is(colour: Colour, kind: type[BaseException], number: int) -> None:
    async def leave() -> None:
        raise kind("enough")

    async def slow() -> None:
        await anyio.sleep_forever()

    calls = [call("slow"), call("leave")][-number:]

    async def body() -> str:
        with pytest.raises(kind, match="enough"):
            await Toolset([leave, slow]).run(calls)
        return "still here"

    assert everywhere(colour, body) == "still here"


@pytest.mark.parametrize("number", [1, 2])
def test_a_tool_that_awaits_something_cancelled_has_failed(number: int) -> None:
    """The run is not cancelled: on Python 3.10, this is known of parallel calls alone."""

    async def wait() -> None:
        task = asyncio.ensure_future(anyio.sleep_forever())
        await anyio.lowlevel.checkpoint()
        task.cancel()
        await task

    async def quick() -> str:
        return "done"

    calls = [call("quick"), call("wait")][-number:]
    if number == 1 and sys.version_info < (3, 11):
        calls = [call("quick"), call("wait")]
    with pytest.raises(ToolError, match="the tool wait ended the run: it raised CancelledError"):
        anyio.run(lambda: Toolset([wait, quick]).run(calls))


def test_cancelling_stops_all_tools(colour: Colour) -> None:
    stopped: list[int] = []

    async def slow(number: int) -> None:
        try:
            started.append(number)
            if len(started) == 2:
                scopes[0].cancel()
            await anyio.sleep_forever()
        finally:
            stopped.append(number)

    started: list[int] = []

    async def body() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await Toolset([slow]).run([call("slow", f'{{"number": {number}}}') for number in range(2)])
        assert scope.cancelled_caught
        assert sorted(stopped) == [0, 1]

    scopes: list[anyio.CancelScope] = []
    everywhere(colour, body)


def test_a_time_limit_is_told_with_its_seconds(colour: Colour) -> None:
    released = threading.Event()

    @tool(timeout=0.05)
    async def awaited() -> None:
        await anyio.sleep_forever()

    @tool(timeout=0.05)
    def threaded() -> None:
        released.wait(30)

    outcomes = everywhere(colour, lambda: Toolset([awaited, threaded]).run([call("awaited"), call("threaded")]))
    released.set()
    assert [(outcome.failed, outcome.content) for outcome in outcomes] == [
        (True, "awaited did not finish within 0.05 seconds. It was cancelled."),
        (True, "threaded did not finish within 0.05 seconds. It has not been stopped, and may still take effect."),
    ]


def test_a_tool_within_its_time_is_not_hindered(colour: Colour) -> None:
    @tool(timeout=60)
    async def awaited() -> str:
        return "a"

    @tool(timeout=60)
    def threaded() -> str:
        return "t"

    @tool(timeout=60)
    def both() -> Any:
        return awaited()

    @tool(timeout=60)
    def late() -> str:
        raise TimeoutError("of its own")

    tools = Toolset([awaited, threaded, both, late])
    outcomes = everywhere(colour, lambda: tools.run([call("awaited"), call("threaded"), call("both")]))
    assert contents(outcomes) == ["a", "t", "a"]
    with pytest.raises(ToolError, match="TimeoutError: of its own"):
        everywhere(colour, lambda: tools.run([call("late")]))


def test_a_cancelled_run_waits_for_a_thread_within_its_time(colour: Colour) -> None:
    """Nothing of a tool runs when the run is over, unless it takes longer than it may."""
    ended: list[str] = []

    @tool(timeout=60)
    def threaded() -> None:
        begun.set()
        assert cancelled.wait(30)
        time.sleep(0.01)
        ended.append("threaded")

    begun, cancelled = threading.Event(), threading.Event()

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(Toolset([threaded]).run, [call("threaded")])
            while not begun.is_set():
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
            cancelled.set()
        assert ended == ["threaded"]

    everywhere(colour, body)


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_what_a_thread_returns_is_kept_where_its_sibling_has_ended_the_run(
    colour: Colour, tmp_path: Path, timeout: float | None
) -> None:
    """It has taken effect, and would otherwise be uncertain."""
    path, begun, released = tmp_path / "run.sqlite", threading.Event(), threading.Event()

    @tool(timeout=timeout)
    def pay() -> str:
        begun.set()
        assert released.wait(30)
        return "paid"

    def release(token: Any) -> None:
        anyio.from_thread.run_sync(lambda: None, token=token)
        released.set()

    async def fail() -> None:
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        # When the failure has cancelled the other call.
        threading.Thread(target=release, args=[anyio.lowlevel.current_token()]).start()
        raise RuntimeError("bad")

    async def body() -> None:
        async with RunJournal(path, "agent", "Pay.") as journal:
            with pytest.raises(ToolError, match="bad"):
                await Toolset([pay, fail]).run([call("pay"), call("fail")], step="1", recorder=journal)

    everywhere(colour, body)
    assert {found.call.name: (found.state, found.content) for found in read_run(path).results} == {
        "pay": ("done", "paid"),
        "fail": ("uncertain", ""),
    }


def test_a_tool_is_told_of_its_run(colour: Colour) -> None:
    contexts: list[ToolContext[str]] = []

    def note(context: ToolContext[str], number: int) -> None:
        contexts.append(context)

    calls = [call("note", '{"number": 1}'), call("note", '{"number": 2}')]
    everywhere(colour, lambda: Toolset([note]).run(calls, deps="mine", run_id="r", step="2"))
    contexts.sort(key=lambda context: context.arguments["number"])
    assert [(found.deps, found.run_id, found.step, found.call, found.arguments) for found in contexts] == [
        ("mine", "r", "2", calls[0], {"number": 1}),
        ("mine", "r", "2", calls[1], {"number": 2}),
    ]
    assert len({found.key for found in contexts}) == 2
    assert all(len(found.key) == 32 for found in contexts)


def test_tools_report_their_progress_as_events_from_any_thread(colour: Colour) -> None:
    def threaded(context: ToolContext) -> str:
        own = threading.Thread(target=context.progress, args=("from a thread of its own",))
        own.start()
        own.join()
        context.progress("half")
        return "t"

    async def awaited(context: ToolContext) -> str:
        context.progress("half")
        return "a"

    events: list[Event] = []
    calls = [call("threaded"), call("awaited"), call("unknown")]
    everywhere(colour, lambda: Toolset([threaded, awaited]).run(calls, step="3", emit=events.append))
    of = {item.name: [event for event in events if getattr(event, "call", None) == item] for item in calls}
    assert of["threaded"] == [
        ToolStarted(calls[0], "3"),
        ToolProgress(calls[0], "from a thread of its own", "3"),
        ToolProgress(calls[0], "half", "3"),
        ToolResult(calls[0], "t", "3"),
    ]
    assert of["awaited"] == [
        ToolStarted(calls[1], "3"),
        ToolProgress(calls[1], "half", "3"),
        ToolResult(calls[1], "a", "3"),
    ]
    assert of["unknown"] == [
        ToolResult(calls[2], "There is no tool 'unknown'. The tools are: threaded, awaited.", "3", failed=True)
    ]


def test_a_thread_that_was_left_alone_reports_nothing_more(colour: Colour) -> None:
    released, reported = threading.Event(), threading.Event()

    @tool(timeout=0.05)
    def slow(context: ToolContext) -> None:
        released.wait(30)
        context.progress("too late")
        reported.set()

    events: list[Event] = []
    everywhere(colour, lambda: Toolset([slow]).run([call("slow")], emit=events.append))
    released.set()
    assert reported.wait(30)
    assert [type(event) for event in events] == [ToolStarted, ToolResult]


def test_a_tool_that_needs_approval_ends_the_run_before_anything_of_the_step_has_run(colour: Colour) -> None:
    ran: list[str] = []

    @tool(approve=lambda amount: amount > 10)
    def pay(amount: int) -> None:
        ran.append("pay")

    def look() -> None:
        ran.append("look")

    tools = Toolset([pay, look])
    everywhere(colour, lambda: tools.run([call("pay", '{"amount": 10}')]))
    assert ran == ["pay"]
    waiting = call("pay", '{"amount": 11}')
    with pytest.raises(
        ApprovalNeeded, match=r'pay\({"amount": 11}\) waits for approval; nothing of this step'
    ) as caught:
        everywhere(colour, lambda: tools.run([call("look"), waiting]))
    assert caught.value.calls == (waiting,)
    assert ran == ["pay"]


def test_long_arguments_do_not_fill_the_message() -> None:
    @tool(approve=True)
    def send(text: str) -> None: ...

    long = call("send", '{"text": "' + "x" * 5000 + '"}')
    with pytest.raises(ApprovalNeeded) as caught:
        anyio.run(Toolset([send]).run, [long])
    assert len(str(caught.value)) < 600
    assert caught.value.calls == (long,)


def test_a_function_that_decides_on_approval_may_fail_like_a_tool(colour: Colour) -> None:
    @tool(approve=lambda amount: amount["x"])
    def pay(amount: int) -> None: ...

    with pytest.raises(ToolError, match="the function that says whether it needs approval raised TypeError"):
        everywhere(colour, lambda: Toolset([pay]).run([call("pay", '{"amount": 11}')]))


def test_two_tools_of_the_same_name_are_refused() -> None:
    def pay(amount: int) -> None: ...

    with pytest.raises(ConfigurationError, match="two tools have the name 'pay'"):
        Toolset([pay, tool(name="pay")(call)])
    with pytest.raises(ConfigurationError, match="tools must be a list"):
        Toolset(pay)  # type: ignore[arg-type] # refused


def test_a_toolset_is_a_collection_of_tools() -> None:
    def pay(amount: int) -> None: ...

    tools = Toolset([pay])
    assert ("pay" in tools, "get" in tools, len(tools), repr(tools)) == (True, False, 1, "Toolset(pay)")
    found = tools.get("pay")
    assert found is not None
    assert tools.definitions() == [found.definition()]
    assert tools.get("get") is None
    assert len(Toolset()) == 0


def test_tools_within_tools_do_not_wait_for_each_other_s_threads() -> None:
    """Each of 50 synchronous tools runs another toolset with a synchronous tool, as an agent in a tool does."""

    def inner() -> int:
        return 1

    def outer(number: int) -> str:
        async def nested() -> str:
            return (await Toolset([inner]).run([call("inner")]))[0].content

        return sync_run(nested)

    def sync_run(body: Callable[[], Awaitable[str]]) -> str:
        return _bridge.run(body)

    async def main() -> list[ToolOutcome]:
        return await Toolset([outer]).run([call("outer", f'{{"number": {number}}}') for number in range(50)])

    with anyio_limit(8):
        assert contents(_bridge.run(main)) == ["1"] * 50


class anyio_limit:  # noqa: N801 - used as a function
    """Fewer threads for everything else on the bridge's loop."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        async def less() -> float:
            limiter = anyio.to_thread.current_default_thread_limiter()
            before, limiter.total_tokens = limiter.total_tokens, self.number
            return before

        self.before = _bridge.run(less)

    def __exit__(self, *_: object) -> None:
        async def more() -> None:
            anyio.to_thread.current_default_thread_limiter().total_tokens = self.before

        _bridge.run(more)


def test_the_errors_carry_their_calls() -> None:
    error = UncertainCallError("m", tool="t", calls=(call("t"),), path="p")
    assert isinstance(error, ToolError)
    assert (error.calls, error.path) == ((call("t"),), "p")
    assert sync.tool is tool
    assert asyncio.iscoroutinefunction(Toolset.run)
