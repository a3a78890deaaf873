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
# With token ids an answer may be cut inside a character, too.
WORDS, EMOJI = ask("Name three colours."), ask("Name three colours, with an emoji for each.")


@pytest.mark.parametrize("ids", [True, False], ids=["token ids", "continue_final_message"])
@pytest.mark.parametrize("configuration", ["plain", "reasoning"])
def test_cut_after_every_token_the_answer_is_the_same(
    colour: Colour, servers: dict[str, Server], configuration: str, ids: bool
) -> None:
    server = servers[configuration]
    # asyncio goes through all of them, the other colours take every sixth.
    step = 1 if colour.name == "asyncio" else 6
    options: dict[str, Any] = {"max_tokens": TOKENS, **GREEDY}
    if configuration == "reasoning":
        # Thoughts are continued in another way: see below.
        options["chat_template_kwargs"] = {"enable_thinking": False}
    question = EMOJI if ids else WORDS

    async def body() -> None:
        with CuttingProxy(server.port, ids=ids) as proxy:
            async with colour.make(VLLMModel(MODEL, proxy.url, KEY)) as model:
                # The first answer tells what the endpoint can do.
                complete = await model.call(question, **options)
                # The first event has the role, and no text.
                places = range(2, TOKENS + 1, step)
                for events in places:
                    proxy.bodies.clear()
                    proxy.cuts[:] = [events]
                    before = proxy.resets
                    found = await model.call(question, **options)
                    assert found.text == complete.text, events
                    assert (found.resumes, found.retries) == (proxy.resets - before, 0), events
                    assert found.finish_reason == complete.finish_reason
                    if found.resumes:
                        assert_continued(proxy.bodies, ids=ids)
                assert proxy.resets > len(places) // 2

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
            complete = (await direct.call(EMOJI, max_tokens=TOKENS, **GREEDY)).text
        with CuttingProxy(vllm.port) as proxy:
            # None of these requests returns much.
            async with colour.make(VLLMModel(MODEL, proxy.url, KEY, max_retries=4)) as model:
                await model.call(EMOJI, max_tokens=1)
                proxy.bodies.clear()
                proxy.cuts[:] = [6, 5, 5]
                pieces = [piece async for piece in model.call_stream(EMOJI, max_tokens=TOKENS, **GREEDY)]
        assert "".join(pieces) == complete
        assert len(proxy.bodies) == 4

    colour.run(body)


def test_a_thought_is_continued_where_it_was_cut(colour: Colour, parsing: Server) -> None:
    """This model thinks without having said <think>; with that before its thought it continues in other words."""

    async def body() -> None:
        with CuttingProxy(parsing.port) as proxy:
            async with colour.make(VLLMModel(MODEL, proxy.url, KEY, reasoning="separate")) as model:
                complete = await model.call(WORDS, max_tokens=TOKENS, **GREEDY)
                for events in (2, 9, 16):
                    proxy.bodies.clear()
                    proxy.cuts[:] = [events]
                    found = await model.call(WORDS, max_tokens=TOKENS, **GREEDY)
                    assert (found.resumes, found.text) == (1, "")
                    partial = proxy.bodies[1]["messages"][-1]["content"].removeprefix("<think>").strip()
                    assert complete.reasoning.lstrip().startswith(partial)
                    assert found.reasoning.lstrip().startswith(partial)
                    assert len(found.reasoning) > len(partial)

    colour.run(body)
