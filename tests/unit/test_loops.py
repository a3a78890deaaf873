"""One model on several event loops, one after the other and concurrently."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import openai
import pytest
import trio

from tests.conftest import ROOT, USER
from tframex import sync
from tframex.agents import BasicAgent
from tframex.errors import ConfigurationError, WrongLoopError
from tframex.model import VLLMModel
from tframex.systems import MultiCallSystem
from tframex.testing import FakeVLLM


def test_after_a_loop_has_ended_the_model_works_in_the_next_one() -> None:
    """No warning about unclosed connections either: they are closed when their loop ends."""

    async def call() -> str:
        return (await model.call(USER, max_tokens=3)).text

    with FakeVLLM() as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        model = VLLMModel("fake", server.url, "k")
        texts = [asyncio.run(call()), asyncio.run(call()), trio.run(call), anyio.run(call), trio.run(call)]
        gc.collect()
        assert len(set(texts)) == 1
        assert server.connections == 5
        assert server.open_connections == 0


def test_what_belonged_to_an_ended_loop_is_forgotten() -> None:
    """A long-lived model used in one `asyncio.run` after the other must not keep a client for each."""

    async def call() -> weakref.ref[object]:
        await model.call(USER, max_tokens=2)
        return weakref.ref(asyncio.get_running_loop())

    with FakeVLLM() as server:
        model = VLLMModel("fake", server.url, "k")
        loops = [asyncio.run(call()) for _ in range(5)]
        gc.collect()
        assert sum(loop() is not None for loop in loops) <= 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_model_that_is_forgotten_while_its_loop_runs_closes_its_connections(backend: str) -> None:
    """Else a service that makes a model for each request keeps a socket for each until it ends."""

    async def body() -> None:
        for _ in range(5):
            await VLLMModel("fake", server.url, "k").call(USER, max_tokens=2)
            gc.collect()
        while server.open_connections:  # noqa: ASYNC110 - no event says when a socket has been closed
            await anyio.sleep(0.01)

    async def bounded() -> None:
        with anyio.fail_after(20):
            await body()

    with FakeVLLM() as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        anyio.run(bounded, backend=backend)
        assert server.connections == 5


LEFT_OPEN = """
import asyncio, gc, sys
from tframex.model import VLLMModel

async def leave() -> None:
    forgotten = [VLLMModel("fake", sys.argv[1], "k") for _ in range(2)]
    for model in forgotten:
        await model.call([{"role": "user", "content": "x"}])
    stream = forgotten[0].call_stream([{"role": "user", "content": "x"}])
    await stream.__anext__()
    forgotten[0].itself, forgotten[0].stream = forgotten[0], stream

for _ in range(10):
    asyncio.run(leave())
    gc.collect()
"""


def test_models_and_streams_that_are_left_open_when_the_loop_ends_are_closed_without_a_complaint() -> None:
    """In its own process: asyncio would complain on standard error."""
    with FakeVLLM() as server:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", LEFT_OPEN, server.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        complaints = [line for line in done.stderr.splitlines() if "took" not in line]  # slow callbacks of debug mode
        assert (done.returncode, complaints) == (0, [])
        assert server.open_connections == 0


FORGOTTEN = """
import gc, sys
import anyio
from tframex import AsyncOpenAI, BasicAgent, VLLMModel
url, backend, moment = sys.argv[1:]
question = [{"role": "user", "content": "x"}]

async def client():
    client = AsyncOpenAI(base_url=url, api_key="k")
    await client.chat.completions.create(model="fake", messages=question, max_tokens=2)
    return client

async def clients_stream():
    client = AsyncOpenAI(base_url=url, api_key="k")
    stream = await client.chat.completions.create(model="fake", messages=question, stream=True)
    await stream.__anext__()
    return stream

async def model():
    model = VLLMModel("fake", url, "k")
    await model.call(question, max_tokens=2)
    return model

async def begun(stream):
    for _ in range(3):
        await stream.__anext__()
    return stream

kinds = {
    "client": client,
    "client's stream": clients_stream,
    "model": model,
    "call_stream": lambda: begun(VLLMModel("fake", url, "k").call_stream(question)),
    "events": lambda: begun(VLLMModel("fake", url, "k").events(question)),
    "agent's stream": lambda: begun(BasicAgent("a", VLLMModel("fake", url, "k")).stream("x")),
}

class Holder:
    pass

async def main():
    for kind in kinds.values():
        for knotted in (False, True):
            for _ in range(4):
                holder = Holder()
                holder.thing = await kind()
                if knotted:
                    holder.itself = holder
    del holder
    if moment == "immediately":
        gc.collect()
        print("forgotten", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main, backend=backend)
gc.collect()
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("moment", ["immediately", "with the loop"])
def test_what_is_forgotten_is_closed_without_a_complaint(backend: str, moment: str) -> None:
    """Also in a knot of references, whose parts garbage collection finds in any order.

    Trio warns of every generator that was not closed, which Python shows to those who ask for such warnings.
    """
    with FakeVLLM("word " * 1000, delay=0.01) as server:
        trios = ["-W", "ignore:Async generator:ResourceWarning"]
        command = [sys.executable, "-W", "error", *trios, "-c", FORGOTTEN, server.url, backend, moment]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        if moment == "immediately" and process.stdout.readline():
            deadline = time.monotonic() + 60
            while server.open_connections and time.monotonic() < deadline:
                time.sleep(0.01)
            left = server.open_connections
        else:
            left = 0
        _, err = process.communicate("end\n", timeout=60)
        assert (left, err, process.returncode) == (0, "", 0)
        assert server.connections == 48


CLOSED_WITHOUT_A_WORD = """
import asyncio, sys
from tframex.model import VLLMModel
model = VLLMModel("fake", sys.argv[1], "k")
for _ in range(2):
    loop = asyncio.new_event_loop()
    print(loop.run_until_complete(model.call([{"role": "user", "content": "x"}])).finish_reason)
    loop.close()
asyncio.run(model.close_client())
"""


def test_a_loop_that_was_closed_without_a_word_is_noticed() -> None:
    """Such a loop leaves its connections open; hence its own process."""
    with FakeVLLM() as server:
        command = [sys.executable, "-c", CLOSED_WITHOUT_A_WORD, server.url]
        assert subprocess.check_output(command, cwd=ROOT, stderr=subprocess.DEVNULL).split() == [b"stop", b"stop"]


def test_a_second_live_loop_is_refused_with_a_reason() -> None:
    errors: list[WrongLoopError] = []

    async def elsewhere() -> None:
        with pytest.raises(WrongLoopError, match="another event loop that is still alive") as caught:
            await model.call(USER)
        errors.append(caught.value)

    async def body() -> None:
        async with model:
            await model.call(USER)
            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            await asyncio.to_thread(thread.join)
            await model.call(USER)

    with FakeVLLM() as server:
        model = VLLMModel("fake", server.url, "k")
        asyncio.run(body())
    assert errors[0].model_id == "fake"


def test_a_closed_model_can_be_used_again() -> None:
    async def body() -> None:
        model = VLLMModel("fake", server.url, "k")
        for _ in range(2):
            await model.call(USER)
            await model.close_client()
        await model.close_client()

    with FakeVLLM() as server:
        asyncio.run(body())
        assert server.connections == 2


def test_a_fake_server_says_that_its_port_is_in_use() -> None:
    with FakeVLLM() as server:
        port = int(server.url.split(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigurationError, match=f"port {port}.*in use"):
        server.start()
    with server:
        assert server.url.endswith(f":{port}/v1")


def through_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))  # noqa: S301 - our own bytes


@pytest.mark.parametrize("copied", [through_pickle, copy.deepcopy])
def test_what_has_been_used_can_be_pickled_and_copied_and_its_copy_opens_connections_of_its_own(
    copied: Callable[[Any], Any],
) -> None:
    """Also in the middle of an answer."""

    async def body(model: VLLMModel) -> list[str]:
        async with model:
            pieces = model.call_stream(USER)
            first = await pieces.__anext__()
            twin, system, agent = copied(model), copied(MultiCallSystem("m", model)), copied(BasicAgent("a", model))
            texts = [(await twin.call(USER)).text, (await system.sample("x", 1))[0].text, await agent.run("x")]
            await twin.close_client()
            return [*texts, first + "".join([piece async for piece in pieces])]

    with FakeVLLM(delay=0.001) as server:
        assert len(set(asyncio.run(body(VLLMModel("fake", server.url, "k", max_concurrency=2))))) == 1
        with sync.VLLMModel("fake", server.url, "k") as model:
            agent = sync.BasicAgent("a", model)
            assert copied(agent).run("x") == agent.run("x")


def test_a_model_on_a_client_of_yours_says_why_it_cannot_be_pickled() -> None:
    client = openai.AsyncOpenAI(api_key="sk-secret", base_url="http://127.0.0.1:9/v1")
    models = (VLLMModel.from_client(client, "m"), VLLMModel("m", "http://x", "k", http_client=httpx2.AsyncClient()))
    for model in models:
        with pytest.raises(ConfigurationError, match="cannot be pickled.*in the process that uses it") as caught:
            pickle.dumps(sync.BasicAgent("a", sync.blocking(model)))
        assert "sk-secret" not in str(caught.value)
