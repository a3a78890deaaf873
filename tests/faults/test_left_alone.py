"""Connections that are left alone between two reads: what arrives is neither lost nor late, whatever they are made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tframex
from tests.conftest import USER
from tests.scripted_server import Peer, certificate, scripted_server
from tests.unit.test_uvloop import LOOPS, run
from tframex.errors import StreamInterruptedError
from tframex.exchange import Pace
from tframex.model import VLLMModel, _exchange_model
from tframex.testing import FakeVLLM

TEXT = "Red, green and blue are colours of light; “静か” is quiet. " * 6
WORDS = [f"w{number} " for number in range(51)]
Script = Callable[[Any], None]


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is not shown is read every 200 ms."""
    monkeypatch.setattr(_exchange_model, "GATHER", Pace(share=1e9, most=0.2))


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
