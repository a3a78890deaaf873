"""Endpoints that serve several models from several kinds of servers."""

from __future__ import annotations

from typing import Any

import pytest

import tframex
from tests.conftest import USER, Colour
from tframex.errors import StreamInterruptedError
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault

pytestmark = pytest.mark.usefixtures("no_wait")

TEXT = "Sure! The capital of France is Paris, as everybody knows who has been there."
OTHER = "Paris is the capital of France, and has been so for a long time."
VLLM = {"id": "llama", "object": "model", "owned_by": "vllm", "max_model_len": 4096}


class Gateway(FakeVLLM):
    """Starts an answer over when it is asked to continue it, ignoring the flags, and lists what it is told to."""

    def __init__(self, listed: list[dict[str, Any]], **options: Any) -> None:
        def answer(body: Any) -> str:
            return TEXT if len(self.completions()) == 1 else OTHER

        super().__init__(answer, dialect="openai", **options)
        self.listed = listed

    def _lookup(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"object": "list", "data": self.listed}
        return 404, {"detail": "Not Found"}


@pytest.mark.parametrize("listed", [[VLLM], [VLLM, {"id": "other", "owned_by": "vllm"}], []])
def test_a_model_that_is_not_listed_is_not_taken_for_one_that_is(colour: Colour, listed: list[Any]) -> None:
    """The first of the list may be served by a vLLM, while the one asked for starts its answer over."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            with pytest.raises(StreamInterruptedError) as caught:
                async for _ in model.stream(USER):
                    pass
            assert TEXT.startswith(caught.value.partial)
            assert await model.window() is None
            assert not await model.continues({})

    with Gateway(listed, faults=[Fault.cut(2000)]) as server:
        colour.run(body)
    assert len(server.completions()) == 1


@pytest.mark.parametrize("listed", [[VLLM], []])
def test_a_drop_in_does_not_take_it_for_one_that_is_either(listed: list[Any]) -> None:
    messages: Any = USER
    with (
        Gateway(listed, faults=[Fault.cut(2000)]) as server,
        tframex.OpenAI(base_url=server.url, api_key="k") as client,
    ):
        stream = client.chat.completions.create(model="fake", messages=messages, stream=True)
        with pytest.raises(StreamInterruptedError):
            for _ in stream:
                pass
    assert len(server.completions()) == 1


@pytest.mark.parametrize("alias", ["fake", "adapter"])
def test_an_alias_and_an_adapter_of_a_vllm_are_on_its_list(colour: Colour, alias: str) -> None:
    class Aliases(FakeVLLM):
        def _lookup(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            status, reply = super()._lookup(path, body)
            if path == "/v1/models":
                reply["data"] = [{**reply["data"][0], "id": name} for name in ("base", "fake", "adapter")]
            return status, reply

    async def body() -> None:
        async with colour.make(VLLMModel(alias, server.url, "k")) as model:
            assert await model.window() == 8192
            assert await model.continues({})

    with Aliases(model=alias) as server:
        colour.run(body)


def test_a_llama_cpp_answers_under_whatever_name(colour: Colour) -> None:
    """It lists the file of its only model, says who it is in a header, and takes any name."""

    async def body() -> None:
        async with colour.make(VLLMModel("gpt-4", server.url, "k")) as model:
            assert await model.window() == 8192
            assert await model.continues({})
            assert (await model.call(USER)).text == TEXT

    with FakeVLLM(TEXT, dialect="llama.cpp", faults=[Fault.cut(2000)]) as server:
        colour.run(body)
    assert len(server.completions()) == 2


def test_a_request_for_another_model_is_judged_by_that_model(colour: Colour) -> None:
    """`model=` of a call: what is known of the model's own name says nothing of another one."""

    async def body() -> None:
        async with colour.make(VLLMModel("llama", server.url, "k")) as model:
            assert await model.continues({})
            with pytest.raises(StreamInterruptedError):
                async for _ in model.stream(USER, model="fake"):
                    pass

    with Gateway([VLLM], faults=[Fault.cut(2000)]) as server:
        colour.run(body)
    assert len(server.completions()) == 1
