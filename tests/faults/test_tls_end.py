"""A connection under TLS is closed when its answer is over, also by a server that does not say goodbye."""

from __future__ import annotations

import gc
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import USER
from tests.scripted_server import Peer, certificate, scripted_server
from tests.unit.test_uvloop import LOOPS, run
from tframex.client import AsyncOpenAI
from tframex.model import VLLMModel


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reader", ["call", "left early", "drop-in"])
def test_nothing_is_left_open_when_the_loop_ends(
    loop: str, reader: str, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `close_notify` that is waited for would outlive the loop: asyncio warns then, and uvloop raises."""
    over = threading.Event()

    def script(connection: Any) -> None:
        peer = Peer(connection)
        peer.say("Hi")
        if reader != "left early":
            peer.finish()
        over.wait(30)

    async def main() -> None:
        if reader == "drop-in":
            async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
                asked: Any = USER
                chunks: Any = await client.chat.completions.create(model="fake", messages=asked, stream=True)
                assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == "Hi"
            return
        async with VLLMModel("fake", url, "k", max_retries=0) as model:
            if reader == "call":
                assert (await model.call(USER)).text == "Hi"
                return
            async with aclosing(model.call_stream(USER)) as pieces:
                assert await pieces.__anext__() == "Hi"

    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with scripted_server(script, tls=tls) as url:
        try:
            run(loop, main())
            gc.collect()
        finally:
            over.set()
