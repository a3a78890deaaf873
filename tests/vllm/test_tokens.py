"""Counts are the server's own, and requests fit into its window to the token."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.conftest import Colour, ask
from tests.vllm.server import KEY, MODEL, WINDOW, Server
from tests.vllm.test_surface import model_of
from tframex.agents import BasicAgent
from tframex.errors import ContextLengthError

TEXTS = {
    "English": "The ferry leaves at 22:40, whatever the weather.",
    "German": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Chinese": "渡轮在晚上十点四十分出发，不管天气如何。",
    "Japanese": "海は静かだった。誰も話さなかった。",
    "Arabic": "تغادر العبارة في الساعة العاشرة والأربعين دقيقة.",
    "Hindi": "नौका रात दस बजकर चालीस मिनट पर निकलती है।",
    "Russian": "Паром отправляется в 22:40 при любой погоде.",
    "emoji": "\U0001f469\U0001f3fd‍\U0001f680 \U0001f600 \U0001f1eb\U0001f1f7",
    "digits": "3.14159265358979323846 0123456789 2026-11-22",
    "JSON": '{"key": [1, 22, 333], "nested": {"a": null, "b": "c\\n"}}',
    "code": "def f(x):\n    return [y ** 2 for y in x if y % 3]\n",
    "white space": "  two  \n\n\n three\t\t tabs   ",
    "special": "<|im_end|> <|endoftext|> [INST] <think>",
}


@pytest.mark.parametrize("script", TEXTS)
def test_a_count_is_what_the_server_reports_as_usage(colour: Colour, vllm: Server, script: str) -> None:
    text = TEXTS[script]
    with openai.OpenAI(base_url=vllm.url, api_key=KEY) as official:
        extra = {"add_special_tokens": False}
        reported = official.completions.create(model=MODEL, prompt=text, max_tokens=1, extra_body=extra).usage
    assert reported is not None

    async def body() -> None:
        async with colour.make(model_of(vllm)) as model:
            counter = counter_of(colour, model)
            assert await counter.measure_text(text) == reported.prompt_tokens
            chats: list[Any] = [
                ask(text),
                [{"role": "system", "content": "Be brief."}, *ask(text)],
                [*ask("One?"), {"role": "assistant", "content": text}, *ask("Two?")],
            ]
            for messages in chats:
                completion = await model.call(messages, max_tokens=1)
                assert await counter.measure(messages) == completion.usage.prompt_tokens
            assert Colour.original(model).counter.exact

    colour.run(body)


def counter_of(colour: Colour, model: Any) -> Any:
    return colour.make(Colour.original(model).counter)


async def sized(counter: Any, tokens: int) -> str:
    """A prompt whose conversation has a given number of tokens."""
    words: int = tokens - await counter.measure(ask("a"))
    prompt = "a" + " a" * words
    assert await counter.measure(ask(prompt)) == tokens
    return prompt


def test_a_prompt_may_fill_the_window_to_the_last_token(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm)) as model:
            prompt = await sized(counter_of(colour, model), WINDOW - 1)
            completion = await model.call(ask(prompt), max_tokens=1)
            assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (WINDOW - 1, 1)
            # An agent lowers max_tokens to what is left.
            agent = colour.make(BasicAgent("a", Colour.original(model)))
            clamped = await agent.complete(prompt, max_tokens=500)
            assert (clamped.usage.completion_tokens, clamped.finish_reason) == (1, "length")
            shorter = await agent.complete(
                await sized(counter_of(colour, model), WINDOW - 5), max_tokens=500, ignore_eos=True
            )
            assert shorter.usage.completion_tokens == 5

    colour.run(body)


def test_a_prompt_that_is_too_long_is_an_error_with_both_numbers(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm)) as model:
            prompt = await sized(counter_of(colour, model), WINDOW + 1)
            with pytest.raises(ContextLengthError) as sent:
                await model.call(ask(prompt), max_tokens=1)
            assert (sent.value.status_code, sent.value.context_window) == (400, WINDOW)
            assert sent.value.prompt_tokens == WINDOW + 1
            with pytest.raises(ContextLengthError) as kept:
                await colour.make(BasicAgent("a", Colour.original(model))).run(prompt)
            assert (kept.value.status_code, kept.value.prompt_tokens) == (0, WINDOW + 1)

    colour.run(body)
