"""An answer that is cut after any of its tokens is the answer that is not cut."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Colour, ask
from tests.vllm.proxy import CuttingProxy
from tests.vllm.server import KEY, MODEL, Server
from tests.vllm.test_surface import GREEDY, model_of
from tframex.model import VLLMModel

TOKENS = 24
QUESTION = ask("Name three colours, with an emoji for each.")


@pytest.mark.parametrize("ids", [True, False], ids=["token ids", "continue_final_message"])
@pytest.mark.parametrize("configuration", ["plain", "reasoning"])
def test_cut_after_every_token_the_answer_is_the_same(
    colour: Colour, servers: dict[str, Server], configuration: str, ids: bool
) -> None:
    server = servers[configuration]
    # asyncio goes through all of them, the other colours take every fifth.
    step = 1 if colour.name == "asyncio" else 5

    async def body() -> None:
        async with colour.make(model_of(server)) as direct:
            whole = await direct.call(QUESTION, max_tokens=TOKENS, **GREEDY)
        with CuttingProxy(server.port, ids=ids) as proxy:
            async with colour.make(VLLMModel(MODEL, proxy.url, KEY)) as model:
                # The first event has the role, and no text.
                for events in range(2, TOKENS + 1, step):
                    proxy.bodies.clear()
                    proxy.cuts[:] = [events]
                    found = await model.call(QUESTION, max_tokens=TOKENS, **GREEDY)
                    assert found.text == whole.text, events
                    assert (found.resumes, found.retries) == (1, 0), events
                    assert found.finish_reason == whole.finish_reason
                    assert_continued(proxy.bodies, ids=ids)

    colour.run(body)


def assert_continued(bodies: list[dict[str, Any]], *, ids: bool) -> None:
    first, second = bodies
    assert "continue_final_message" not in first
    if ids:
        assert isinstance(second["prompt"], list)
    else:
        assert second["continue_final_message"] is True
        assert second["add_generation_prompt"] is False


def test_cut_again_and_again_the_stream_is_the_same(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm)) as direct:
            whole = (await direct.call(QUESTION, max_tokens=TOKENS, **GREEDY)).text
        with CuttingProxy(vllm.port) as proxy:
            proxy.cuts[:] = [6, 5, 5]
            async with colour.make(VLLMModel(MODEL, proxy.url, KEY)) as model:
                pieces = [piece async for piece in model.call_stream(QUESTION, max_tokens=TOKENS, **GREEDY)]
        assert "".join(pieces) == whole
        assert len(proxy.bodies) == 4

    colour.run(body)
