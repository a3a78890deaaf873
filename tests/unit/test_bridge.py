"""From synchronous code to the asynchronous core."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest

from tests.conftest import ROOT, USER
from tframex.errors import WrongLoopError
from tframex.sync import BasicAgent, VLLMModel, _bridge, blocking
from tframex.testing import FakeVLLM, ScriptedModel

NO_UVLOOP = "import sys; sys.modules['uvloop'] = None\n"
LOOPS = ["asyncio", "uvloop"] if find_spec("uvloop") else ["asyncio"]


@pytest.fixture(params=LOOPS, autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each loop that the bridge can have; the tests of this file run on a bridge that was made for them."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
        monkeypatch.setattr(f"{__name__}.PREAMBLE", HEEDS_CTRL_C + NO_UVLOOP)
    monkeypatch.setattr(_bridge, "_current", None)
    yield request.param
    if _bridge._current is not None and not _bridge._current.over:
        _bridge._current.stop()
        atexit.unregister(_bridge._current.stop)


def test_the_loop_is_that_of_uvloop_where_it_is_installed(loop: str) -> None:
    """Its loops take half as long for a network read."""

    async def running() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    assert _bridge.run(running) == loop


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


def test_every_item_arrives_in_order() -> None:
    assert list(_bridge.iterate(lambda: numbers(10_000))) == list(range(10_000))


def test_the_pump_waits_for_a_slow_reader() -> None:
    produced = 0

    async def count() -> AsyncGenerator[int, None]:
        nonlocal produced
        for number in range(100_000):
            produced += 1
            yield number

    iterator = _bridge.iterate(count)
    next(iterator)
    _bridge.run(lambda: asyncio.sleep(0.05))
    assert produced <= 2 * 1024 + 1
    assert sum(1 for _ in iterator) == 99_999


def test_an_error_arrives_after_the_items_before_it() -> None:
    async def fail() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("lost")

    iterator = _bridge.iterate(fail)
    assert next(iterator) == 1
    with pytest.raises(KeyError, match="lost"):
        next(iterator)


def test_closing_the_iterator_cancels_the_pump_and_waits_for_it() -> None:
    ended = []

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            ended.append(True)

    iterator = _bridge.iterate(endless)
    next(iterator)
    iterator.close()
    assert ended == [True]


def test_an_early_break_closes_the_connection() -> None:
    with FakeVLLM("word " * 500, delay=0.005) as server, VLLMModel("fake", server.url, "k") as model:
        for _ in model.call_stream(USER):
            break
        left = time.monotonic()
        while server.requests[0].hung_up is None and time.monotonic() < left + 5:
            time.sleep(0.001)
        assert server.requests[0].hung_up is not None
        assert server.requests[0].hung_up - left < 0.1
        assert server.tokens < 100


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_an_exit_inside_a_task_reaches_the_caller_and_leaves_the_bridge_usable(exception: type[BaseException]) -> None:
    async def leave() -> None:
        raise exception("out")

    with pytest.raises(exception, match="out"):
        _bridge.run(leave)
    assert list(_bridge.iterate(lambda: numbers(3))) == [0, 1, 2]


EXIT_IN_A_CHILD = """
import anyio
from tframex.sync import _bridge
async def leave():
    raise SystemExit("out")
async def parent():
    async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
        inner.start_soon(leave)
async def stream():
    yield 1
    await parent()
async def answer():
    return "usable"
for call in (lambda: _bridge.run(parent), lambda: list(_bridge.iterate(stream))):
    try:
        call()
    except BaseException as exc:
        print(repr(exc))
print(_bridge.run(answer))
"""


def test_an_exit_inside_a_child_task_reaches_the_caller_as_it_is_and_leaves_the_bridge_usable() -> None:
    """In a separate process: a loop thread that has ended would never answer."""
    out, err = output(script(EXIT_IN_A_CHILD))
    assert (out.splitlines(), err) == (["SystemExit('out')", "SystemExit('out')", "usable"], "")


def test_the_thread_ends_also_if_the_work_is_over_before_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`loop.stop()` from another thread does not wake the loop."""
    begin = asyncio.run_coroutine_threadsafe

    def begin_and_wait(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        future = begin(coroutine, loop)
        future.exception(60)
        return future

    bridge = _bridge._Bridge()
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", begin_and_wait)
    bridge.stop()
    assert bridge.loop.is_closed()


def test_a_call_from_the_bridge_s_own_thread_is_refused_not_deadlocked() -> None:
    agent = BasicAgent("a", blocking(ScriptedModel("hi")))

    async def inside() -> None:
        agent.run("hello")

    with pytest.raises(WrongLoopError, match="own event loop"):
        _bridge.run(inside)

    async def inside_a_stream() -> None:
        next(agent.stream("hello"))

    with pytest.raises(WrongLoopError, match="own event loop"):
        _bridge.run(inside_a_stream)


def test_a_sync_call_works_inside_a_running_event_loop() -> None:
    """As in a Jupyter notebook."""

    async def cell() -> str:
        return BasicAgent("a", blocking(ScriptedModel("hi"))).run("hello")

    assert asyncio.run(cell()) == "hi"


def test_32_threads_share_one_sync_model() -> None:
    with FakeVLLM() as server, VLLMModel("fake", server.url, "k") as model, ThreadPoolExecutor(32) as pool:
        texts = set(pool.map(lambda _: model.call(USER).text, range(128)))
        assert len(texts) == 1
        assert len(server.requests) == 128


def test_context_variables_of_the_caller_are_seen() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("mine")

    async def read() -> str:
        return variable.get()

    assert _bridge.run(read) == "mine"


# A background job of a shell without job control is started with the interrupt ignored, and its children inherit that.
HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
PREAMBLE = HEEDS_CTRL_C


def script(body: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREAMBLE + body, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )


def output(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return out.decode(), err.decode()


INTERRUPTED = """
import threading, time
from tframex.sync import VLLMModel
from tframex.testing import FakeVLLM, Fault
server = FakeVLLM(faults=[{fault}], delay=0.01)
server.start()
model = VLLMModel("fake", server.url, "k")
def announce():
    while not server.requests or not server.requests[0].tokens:
        time.sleep(0.01)
    print("ready", flush=True)
threading.Thread(target=announce).start()
try:
    {work}
except KeyboardInterrupt:
    interrupted = time.monotonic()
    time.sleep(0.3)
    seconds = server.requests[0].hung_up - interrupted
    print("interrupted", seconds < 0.1, model.call([{{"role": "user", "content": "again"}}]).finish_reason)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process on Windows")
@pytest.mark.parametrize(
    "work",
    ["model.call([{'role': 'user', 'content': 'x'}])", "list(model.call_stream([{'role': 'user', 'content': 'x'}]))"],
)
def test_ctrl_c_cancels_the_work_and_leaves_the_bridge_usable(work: str) -> None:
    process = script(INTERRUPTED.format(fault="Fault.stall(1000)", work=work))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"ready"
    process.send_signal(signal.SIGINT)
    out, err = output(process)
    assert (out.strip(), err) == ("interrupted True stop", "")


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tested
from tframex.sync import VLLMModel
url = sys.argv[1]
model = VLLMModel("fake", url, "k")
question = [{"role": "user", "content": "x"}]
text = model.call(question).text
child = os.fork()
if child == 0:
    same = model.call(question).text == text and VLLMModel("fake", url, "k").call(question).text == text
    sys.stdout.write(f"child {same}\\n")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print("parent", model.call(question).text == text)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_bridge_of_its_own() -> None:
    """The parent's connection stays the parent's: it is used again after the child has ended."""
    with FakeVLLM() as server:
        out, err = output(script(FORKED, server.url))
        assert (out.splitlines(), err) == (["child True", "parent True"], "")
        assert server.connections == 3


FORKED_IN_A_STREAM = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tested
from tframex.errors import WrongLoopError
from tframex.sync import VLLMModel
model = VLLMModel("fake", sys.argv[1], "k")
question = [{"role": "user", "content": "x"}]
pieces = model.call_stream(question)
text = next(pieces)
child = os.fork()
if child == 0:
    for _ in range(2000):
        try:
            next(pieces)
        except WrongLoopError as exc:
            print("child", "forked" in str(exc), model.call(question).finish_reason, flush=True)
            break
    os._exit(0)
os.waitpid(child, 0)
print("parent", text + "".join(pieces) == model.call(question).text)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_iterator_of_the_parent_says_so_in_a_forked_child() -> None:
    """Its items arrive in the parent: waiting for them would last forever."""
    with FakeVLLM(delay=0.01) as server:
        out, err = output(script(FORKED_IN_A_STREAM, server.url))
        assert (out.splitlines(), err) == (["child True stop", "parent True"], "")


REFUSED = """
def refuse(*_, **__):
    raise RuntimeError("can't create new thread at interpreter shutdown")
import threading
threading._start_new_thread = threading._start_joinable_thread = refuse
"""

LATE = """
import atexit, sys, threading
from tframex.sync import VLLMModel
question = [{"role": "user", "content": "x"}]
model = VLLMModel("fake", sys.argv[1], "k")
def use():
    text = model.call(question).text
    print("".join(model.call_stream(question)) == text, flush=True)
    model.close_client()
def use_from_a_thread():
    threading.main_thread().join()
    use()
"""


@pytest.mark.parametrize(
    "moment",
    [
        "atexit.register(use)\nmodel.call(question)",
        "model.call(question)\natexit.register(use)",
        "model.call(question)\nthreading.Thread(target=use_from_a_thread).start()",
        "atexit.register(use)",
        "threading.Thread(target=use_from_a_thread).start()",
    ],
    ids=[
        "after the loop thread has ended",
        "before that",
        "from a thread that outlives the main one",
        "for the first time",
        "for the first time from a thread that outlives the main one",
    ],
)
def test_calls_and_streams_work_while_the_interpreter_is_shutting_down(moment: str) -> None:
    """Python 3.12 and later start no thread then, in the words that `REFUSED` makes the older ones use."""
    with FakeVLLM() as server:
        for refused in ("", REFUSED):
            out, err = output(script(LATE + moment + "\n" + refused, server.url))
            assert (out.strip(), err) == ("True", "")


def test_a_late_call_that_needs_a_thread_says_so() -> None:
    late = """
import atexit
from tframex.errors import WrongLoopError
from tframex.sync import _bridge
import anyio.to_thread
def use():
    try:
        _bridge.run(lambda: anyio.to_thread.run_sync(int))
    except WrongLoopError as exc:
        print(exc)
atexit.register(use)
"""
    out, err = output(script(late + REFUSED))
    assert err == ""
    assert "the interpreter is shutting down, and this call needs a thread" in out
    assert "Call before the program ends" in out


def test_a_limit_of_threads_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(_bridge, "_current", None)
    with pytest.raises(WrongLoopError, match="could not be started: can't start new thread.*limit of threads"):
        _bridge.run(lambda: asyncio.sleep(0))


def test_no_bridge_of_many_ends_late_or_leaves_its_loop_open() -> None:
    for _ in range(200):
        bridge = _bridge._Bridge()
        assert bridge.run(lambda: asyncio.sleep(0, "done")) == "done"
        bridge.stop()
        assert bridge.loop.is_closed()


def test_a_sync_call_from_a_worker_thread_that_serves_a_sync_call_works() -> None:
    agent = BasicAgent("a", blocking(ScriptedModel("hi")))

    async def ask() -> str:
        return await asyncio.to_thread(lambda: agent.run("hello") + "".join(agent.stream("hello")))

    assert _bridge.run(ask) == "hihi"


UNCLOSED = """
import sys
from tframex.sync import VLLMModel
from tframex.testing import FakeVLLM
server = FakeVLLM(delay=0.01)
server.start()
model = VLLMModel("fake", server.url, "k")
model.call([{"role": "user", "content": "x"}])
iterator = model.call_stream([{"role": "user", "content": "x"}])
next(iterator)
print("done")
"""


def test_a_script_that_closes_nothing_ends_quietly() -> None:
    process = script(UNCLOSED)
    out, err = output(process)
    assert (out.strip(), err, process.returncode) == ("done", "", 0)


def test_the_thread_is_a_daemon_started_at_first_use() -> None:
    before = set(threading.enumerate())  # other tests have used another bridge
    _bridge.run(lambda: asyncio.sleep(0))
    _bridge.run(lambda: asyncio.sleep(0))
    started = [thread for thread in threading.enumerate() if thread not in before and thread.name == "tframex"]
    assert [thread.daemon for thread in started] == [True]
    out, _ = output(script("import tframex.sync, threading; print(threading.active_count())"))
    assert out.strip() == "1"


def test_what_the_class_has_beyond_its_base_is_passed_through() -> None:
    class Extra(ScriptedModel):
        places = 7

        async def twice(self, text: str) -> str:
            return text * 2

        async def letters(self, text: str) -> AsyncGenerator[str, None]:
            for letter in text:
                yield letter

        def plain(self) -> int:
            return self.places

    model: Any = blocking(Extra("x"))
    assert model.twice("ab") == "abab"
    assert list(model.letters("ab")) == ["a", "b"]
    assert (model.plain(), model.places) == (7, 7)
    with pytest.raises(AttributeError, match="_secret"):
        _ = model._secret
