"""Answers on a loop of uvloop, where that is installed, are those on a loop of asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any
from unittest import mock

import pytest

import tframex
from tests.benchmarks._paced import serve
from tests.benchmarks.clients import MESSAGES
from tframex.errors import StreamInterruptedError

LOOPS = ["asyncio", "uvloop"] if find_spec("uvloop") else ["asyncio"]


def run(loop: str, coroutine: Coroutine[Any, Any, None]) -> None:
    if loop == "asyncio":
        asyncio.run(coroutine)
    else:
        import uvloop

        uvloop.run(coroutine)


@pytest.mark.parametrize("loop", LOOPS)
def test_gathered_answers_are_complete_and_a_cut_is_noticed(loop: str) -> None:
    """Connections that the loop leaves alone are read without it, on each of the two in its way."""

    async def main() -> None:
        async with tframex.VLLMModel("smol", server.url, "k") as model:
            calls = [model.call(MESSAGES, max_tokens=300) for _ in range(8)]
            assert {len(answer.text) for answer in await asyncio.gather(*calls)} == {7 * 299 + 4}
            streams = [stream(model) for _ in range(4)]
            assert set(await asyncio.gather(*streams)) == {7 * 299 + 4}
            with pytest.raises(StreamInterruptedError) as caught:
                await model.call(MESSAGES, max_tokens=300, seed=200, resume="never", max_retries=0)
            assert len(caught.value.partial) == 199 * 7

    async def stream(model: tframex.VLLMModel) -> int:
        return sum([len(piece) async for piece in model.call_stream(MESSAGES, max_tokens=300, interval=0.05)])

    with serve(0.004) as server, mock.patch("tframex.exchange._read_now.os", wraps=os) as used:
        run(loop, main())
    assert used.read.called == (loop == "uvloop")
