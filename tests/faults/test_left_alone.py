"""Connections that are left alone between two reads: what arrives is neither lost nor late, whatever they are made of."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import httpx2
import pytest

import tframex
from tests.conftest import USER
from tests.scripted_server import Peer, certificate, scripted_server
from tests.unit.test_uvloop import LOOPS, run
from tframex.errors import StreamInterruptedError
from tframex.exchange import Pace
from tframex.exchange._read_now import read_now
from tframex.model import VLLMModel, _make_call
from tframex.testing import FakeVLLM

TEXT = "Red, green and blue are colours of light; “静か” is quiet. " * 6
WORDS = [f"w{number} " for number in range(51)]
Script = Callable[[Any], None]


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is not shown is read every 200 ms."""
    monkeypatch.setattr(_make_call, "GATHER", Pace(share=1e9, most=0.2))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


def slowly(peer: Peer) -> None:
    """All words, some while the connection is read and some while it is not."""
    for word in WORDS:
        peer.say(word)
        time.sleep(0.005)


@pytest.mark.usefixtures("rarely")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("ending", ["reset", "clean end", "complete"])
def test_what_arrived_under_tls_is_not_lost_with_the_connection(
    loop: str, shown: bool, ending: str, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset, or an end without `close_notify`, in the middle of the answer or behind it."""

    def script(connection: Any) -> None:
        peer = Peer(connection)
        slowly(peer)
        if ending == "complete":
            peer.finish()
        elif ending == "reset":
            peer.reset()

    async def main() -> None:
        async with VLLMModel("fake", url, "k", max_retries=0, resume="never") as model:
            for _ in range(3):
                if ending == "complete":
                    assert await read(model) == "".join(WORDS)
                    continue
                with pytest.raises(StreamInterruptedError) as caught:
                    await read(model)
                assert caught.value.partial == "".join(WORDS)

    async def read(model: VLLMModel) -> str:
        if shown:
            return "".join([piece async for piece in model.call_stream(USER, interval=0.2)])
        return (await model.call(USER)).text

    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with scripted_server(script, tls=tls) as url:
        run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interval_holds_under_tls(loop: str, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the connection cannot be left alone."""

    def script(connection: Any) -> None:
        peer = Peer(connection)
        slowly(peer)
        peer.finish()

    async def main() -> None:
        async with VLLMModel("fake", url, "k") as model:
            pieces = [piece async for piece in model.call_stream(USER, interval=0.05)]
            assert "".join(pieces) == "".join(WORDS)
            assert 2 < len(pieces) < len(WORDS) / 2

    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with scripted_server(script, tls=tls) as url:
        run(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_reader_does_not_make_the_server_a_silent_one(loop: str) -> None:
    """The transport's limit is not about the time in which the reader leaves the bytes where they are."""

    async def main() -> None:
        async with tframex.AsyncOpenAI(
            base_url=server.url, api_key="k", interval=0.05, timeout=0.4, max_retries=0, resume="never"
        ) as client:
            asked: Any = {"model": "fake", "messages": USER, "stream": True, "max_tokens": 1000}
            stream: Any = await client.chat.completions.create(**asked)
            text = ""
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    text += chunk.choices[0].delta.content
                    if 100 < len(text) < 200:
                        await asyncio.sleep(0.9)
            assert text == TEXT

    with FakeVLLM(TEXT, delay=0.01) as server:
        run(loop, main())
    assert len(server.completions()) == 1


KINDS = ["asyncio", "asyncio with httpx2", "trio", "sync", "model"]


def drop_in(kind: str, url: str, interval: float, see: Callable[[str], None]) -> None:
    """Read a stream at an interval, and show each text."""
    asked: Any = {"model": "fake", "messages": USER, "stream": True}
    settings: Any = {"base_url": url, "api_key": "k", "interval": interval, "max_retries": 0, "resume": "never"}

    async def asynchronous() -> None:
        if kind == "model":
            async with VLLMModel("fake", url, "k", max_retries=0, resume="never") as model:
                async for piece in model.call_stream(USER, interval=interval):
                    see(piece)
            return
        if kind == "asyncio with httpx2":
            settings["http_client"] = httpx2.AsyncClient()
        async with tframex.AsyncOpenAI(**settings) as client:
            async for chunk in await client.chat.completions.create(**asked):
                if chunk.choices and chunk.choices[0].delta.content:
                    see(chunk.choices[0].delta.content)

    if kind != "sync":
        anyio.run(asynchronous, backend="trio" if kind == "trio" else "asyncio")
        return
    with tframex.OpenAI(**settings) as client:
        for chunk in client.chat.completions.create(**asked):
            if chunk.choices and chunk.choices[0].delta.content:
                see(chunk.choices[0].delta.content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("interval", [0.05, 0.6])
def test_text_does_not_wait_for_the_event_after_it(kind: str, compressed: bool, interval: float) -> None:
    """The server says nothing more before the text has been shown, which came before its time or with a comment."""
    seen: list[str] = []
    shown = threading.Condition()
    waited: list[bool] = []

    def see(text: str) -> None:
        with shown:
            seen.append(text)
            shown.notify()

    def wait(text: str) -> None:
        with shown:
            waited.append(shown.wait_for(lambda: text in "".join(seen), 20))

    def script(connection: Any) -> None:
        peer = Peer(connection, compressed=compressed)
        peer.say("one ")
        wait("one ")
        peer.say("two ")
        wait("two ")
        peer.send(peer.event("three "), b": keep-alive\n\n")
        wait("three ")
        time.sleep(interval)
        peer.send(peer.event("four "), b": keep-alive\n\n")
        wait("four ")
        peer.say("five ")
        peer.finish()

    with scripted_server(script) as url:
        drop_in(kind, url, interval, see)
    assert waited == [True] * 4
    assert "".join(seen) == "one two three four five "


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["complete", "reset", "clean end"])
def test_the_end_is_seen_before_a_long_interval_is_over(kind: str, ending: str) -> None:
    """That of an answer and that of its connection; what has waited comes with it."""
    over = threading.Event()
    seen: list[str] = []
    waited: list[bool] = []

    def script(connection: Any) -> None:
        peer = Peer(connection)
        slowly(peer)
        if ending == "complete":
            peer.finish()
        elif ending == "reset":
            peer.reset()
        else:
            connection.close()
        waited.append(over.wait(15))

    with scripted_server(script) as url:
        try:
            drop_in(kind, url, 20.0, seen.append)
        except (StreamInterruptedError, tframex.APIStreamInterruptedError):
            assert ending != "complete"
        else:
            assert ending == "complete"
        over.set()
    assert waited == [True]
    assert "".join(seen) == "".join(WORDS)
    assert len(seen) == 2


@pytest.mark.usefixtures("rarely")
@pytest.mark.parametrize("loop", LOOPS)
def test_what_one_read_does_not_hold_is_not_left_for_a_later_moment(loop: str) -> None:
    """A stream of megabytes is not slower than it would be without a pace."""
    looks: list[None] = []

    def look(*args: Any) -> None:
        looks.append(None)
        read_now(*args)

    def script(connection: Any) -> None:
        peer = Peer(connection)
        peer.say("x")
        time.sleep(0.5)
        for _ in range(64):
            peer.say(*["y" * 1000] * 125)
        peer.finish()

    async def main() -> None:
        async with VLLMModel("fake", url, "k", default_max_tokens=10**6) as model:
            assert len((await model.call(USER)).text) == 8_000_001

    with scripted_server(script) as url, mock.patch("tframex.exchange._aiohttp_hold.read_now", look):
        run(loop, main())
    assert len(looks) < 12
