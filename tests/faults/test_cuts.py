"""Cut anywhere, an answer is the same as if nothing had happened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import openai
import pytest

import tframex
from tests.conftest import Colour
from tframex import sync
from tframex.exchange._retry import RetryBudget
from tframex.model import VLLMModel
from tframex.servers import server_named
from tframex.tasks._closing import map_bounded
from tframex.testing import Answer, FakeVLLM, Fault

# Thousands of requests: tracing them would take minutes, and shows nothing that the other tests do not.
pytestmark = [pytest.mark.usefixtures("no_wait"), pytest.mark.no_cover]

# Two-, three- and four-byte characters, a family of joined emoji, white space of every kind at the borders of tokens.
TEXT = "1. “é” 静 \U0001f469\U0001f3fd‍\U0001f680\n\nTwo  spaces\tand."
THOUGHT = Answer("\n\nThe é answer.", "First,\n\nI think\n")
SHORT = "é \U0001f680\n."


def question(number: int) -> Any:
    return [{"role": "user", "content": f"Question {number}?"}]


def asked(body: Any) -> int:
    """Which byte a request wants to be cut at; requests that continue an answer are left alone."""
    if "prompt" in body or body.get("continue_final_message"):
        return -1
    return int(body["messages"][0]["content"].split()[1][:-1])


class Cutter:
    """Cuts the first request of each question at the byte the question names."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._seen: set[int] = set()

    def __call__(self, body: Any) -> Fault | None:
        at = asked(body)
        if at < 0 or at in self._seen:
            return None
        self._seen.add(at)
        return Fault.cut(at) if self._kind == "reset" else Fault.end(at)


def body_length(answer: Any, dialect: Any, ids: bool) -> int:
    """How many bytes an uncut body has."""
    import httpx2

    request: dict[str, Any] = {"model": "fake", "messages": question(10**6), "stream": True, "max_tokens": 300}
    request["stream_options"] = {"include_usage": True}
    if ids:
        request["return_token_ids"] = True
    with FakeVLLM(answer, dialect=dialect) as server:
        return len(httpx2.post(f"{server.url}/chat/completions", json=request).content)


CASES = [
    pytest.param(SHORT, "vllm", False, 1, id="vllm-continue, every byte"),
    pytest.param(SHORT, "vllm", True, 3, id="vllm-token-ids"),
    pytest.param(TEXT, "vllm", True, 23, id="long-token-ids"),
    pytest.param(TEXT, "llama.cpp", False, 23, id="llama.cpp"),
    pytest.param(THOUGHT, "vllm", True, 17, id="reasoning-token-ids"),
    pytest.param(THOUGHT, "vllm", False, 17, id="reasoning-continue"),
]


@pytest.mark.parametrize("ending", ["reset", "clean end"])
@pytest.mark.parametrize(("answer", "dialect", "ids", "step"), CASES)
def test_cut_at_every_byte_the_answer_is_the_same(
    colour: Colour, ending: str, answer: Any, dialect: Any, ids: bool, step: int
) -> None:
    """No character is lost or doubled, and the server generates nothing twice but the event that was cut."""
    complete = Answer(answer) if isinstance(answer, str) else answer
    length = body_length(answer, dialect, ids)
    # Each colour begins at another byte, so that the larger steps do not always fall on the same ones.
    cuts = range(len(colour.name) % step, length, step)

    def prepared(server: FakeVLLM) -> VLLMModel:
        model = VLLMModel("fake", server.url, "k", default_max_tokens=300, reasoning="separate")
        model._budget = RetryBudget(tokens=10**6)
        model._lookup.served.token_ids = ids
        model._lookup.served.server, model._lookup.served.continues = server_named(dialect), True
        return model

    def check(at: int, deltas: list[Any], completion: Any) -> None:
        assert (completion.text, completion.reasoning) == (complete.text, complete.reasoning), f"cut at {at}"
        assert "".join(delta.content for delta in deltas) == complete.text, f"cut at {at}"
        assert completion.finish_reason == "stop"
        assert completion.resumes + completion.retries <= 1

    async def asynchronous() -> None:
        async def one(at: int) -> None:
            *deltas, completion = [event async for event in model.stream(question(at), max_tokens=300)]
            check(at, deltas, completion)

        model = prepared(server)
        if not ids:
            # A vLLM shows by itself that it has token ids; here it must not be believed.
            model._lookup.served.learn_from_chunk = lambda chunk: None  # type: ignore[method-assign] # a server that tells nothing
        async with model:
            await map_bounded(one, cuts, 32)

    def synchronous() -> None:
        original = prepared(server)
        if not ids:
            original._lookup.served.learn_from_chunk = lambda chunk: None  # type: ignore[method-assign] # a server that tells nothing

        def one(at: int) -> None:
            *deltas, completion = model.stream(question(at), max_tokens=300)
            check(at, deltas, completion)

        with sync.blocking(original) as model, ThreadPoolExecutor(8) as pool:
            list(pool.map(one, cuts))

    with FakeVLLM(answer, dialect=dialect, faults=Cutter("reset" if ending == "reset" else "end")) as server:
        if colour.name == "sync":
            synchronous()
        else:
            anyio.run(asynchronous, backend=colour.name)
        tokens: dict[str, int] = {}
        for record in server.completions():
            key = record.body["messages"][0]["content"] if "messages" in record.body else "ids"
            tokens[key] = tokens.get(key, 0) + record.tokens
        if not ids:
            most = max(tokens.values())
            least = min(tokens.values())
            assert most <= least + 2, "more than one event was generated twice"
        paths = {record.path for record in server.completions()}
        assert ("/v1/completions" in paths) == ids


@pytest.mark.parametrize("ending", ["reset", "clean end"])
@pytest.mark.parametrize("kind", ["asyncio", "trio", "sync"])
def test_the_drop_in_clients_heal_as_well(kind: str, ending: str) -> None:
    """The chunks are those of one stream: one id, one role, one finish reason."""
    length = body_length(TEXT, "vllm", False)
    cuts = range(3, length, 29)

    def check(at: int, chunks: list[Any]) -> None:
        deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(deltas) == TEXT, f"cut at {at}"
        assert len({chunk.id for chunk in chunks}) == 1
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
        assert sum(1 for c in chunks if c.choices and c.choices[0].delta.role) == 1
        # A cut between the finish reason and the usage costs the usage; the answer is complete without it.
        assert sum(1 for c in chunks if c.usage) <= 1

    keywords: dict[str, Any] = {"model": "fake", "stream": True, "max_tokens": 300}
    keywords["stream_options"] = {"include_usage": True}

    async def asynchronous() -> None:
        async def one(at: int) -> None:
            stream: Any = await client.chat.completions.create(messages=question(at), **keywords)
            check(at, [chunk async for chunk in stream])

        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            client._tframex.of(str(client.base_url), "fake").budget = RetryBudget(tokens=10**6)
            await map_bounded(one, cuts, 16)

    with FakeVLLM(TEXT, faults=Cutter("reset" if ending == "reset" else "end")) as server:
        if kind != "sync":
            anyio.run(asynchronous, backend=kind)
            return
        with tframex.OpenAI(base_url=server.url, api_key="k") as client:
            client._tframex.of(str(client.base_url), "fake").budget = RetryBudget(tokens=10**6)
            for at in cuts:
                check(at, list(client.chat.completions.create(messages=question(at), **keywords)))


def test_the_official_client_takes_the_same_cut_for_the_end() -> None:
    """What the promise is about: no error, half an answer."""
    with FakeVLLM(TEXT, faults=[Fault.end(2000)]) as server, openai.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "x"}], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text != TEXT
    assert TEXT.startswith(text)


def test_an_answer_that_is_cut_again_and_again_still_arrives(colour: Colour) -> None:
    """A proxy that cuts every connection after a while does not make a long answer impossible."""

    async def body() -> None:
        model = VLLMModel("fake", server.url, "k", max_retries=1)
        async with colour.make(model) as client:
            completion = await client.call(question(0))
        assert completion.text == TEXT * 20
        assert completion.resumes > 10
        assert completion.usage.estimated
        assert completion.usage.completion_tokens >= server.tokens - completion.resumes

    with FakeVLLM(TEXT * 20, faults=lambda _: Fault.cut(4000)) as server:
        colour.run(body)
