"""Options reach the server and do there what they are for."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import USER, Colour, ask
from tests.vllm.server import KEY, MODEL, Server
from tests.vllm.test_surface import GREEDY, model_of
from tframex.errors import AuthenticationError, ContextLengthError, ModelNotFoundError, ModelStatusError
from tframex.model import VLLMModel

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "legs": {"type": "integer"}},
    "required": ["name", "legs"],
    "additionalProperties": False,
}


def test_structured_outputs_keep_to_their_structure(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=80)) as model:
            asked = ask("Describe a dog as JSON.")
            for options in (
                {"structured_outputs": {"json": SCHEMA}},
                {"response_format": {"type": "json_schema", "json_schema": {"name": "pet", "schema": SCHEMA}}},
            ):
                found = json.loads((await model.call(asked, **options, **GREEDY)).text)
                assert set(found) == {"name", "legs"}
            chosen = await model.call(ask("Is the sky blue?"), structured_outputs={"choice": ["yes", "no"]})
            assert chosen.text in ("yes", "no")
            matched = await model.call(ask("When?"), structured_outputs={"regex": "[0-2][0-9]:[0-5][0-9]"})
            assert re.fullmatch("[0-2][0-9]:[0-5][0-9]", matched.text)

    colour.run(body)


def test_several_answers_stop_strings_and_log_probabilities(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=12)) as model:
            two = await model.call(USER, n=2, seed=3, temperature=1.5)
            assert len(two.choices) == 2
            assert two.choices[0].text != two.choices[1].text
            assert two.usage.completion_tokens <= 24
            complete = (await model.call(USER, **GREEDY)).text
            word = complete.split()[3]
            stopped = await model.call(USER, stop=[word], **GREEDY)
            assert (stopped.text, stopped.finish_reason) == (complete.partition(word)[0], "stop")
            scored = await model.call(USER, logprobs=True, top_logprobs=2, **GREEDY)
            entries = scored.choices[0].logprobs
            assert "".join(entry["token"] for entry in entries) == complete
            assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in entries)

    colour.run(body)


def test_options_of_vllm_alone_go_through(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=12)) as model:
            greedy = (await model.call(USER, **GREEDY)).text
            # top_k=1 is greedy at any temperature.
            assert (await model.call(USER, temperature=1.0, top_k=1, priority=5)).text == greedy
            long = await model.call(ask("Say yes."), ignore_eos=True, min_tokens=12, repetition_penalty=1.3)
            assert long.usage.completion_tokens == 12

    colour.run(body)


def test_a_wrong_key_model_or_parameter_is_the_error_of_its_name(colour: Colour, vllm: Server) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel(MODEL, vllm.url, "a-wrong-key-of-mine", max_retries=0)) as model:
            with pytest.raises(AuthenticationError, match="401: Unauthorized") as refused:
                await model.call(USER)
            assert "a-wrong-key-of-mine" not in str(refused.value)
        async with colour.make(VLLMModel("nope", vllm.url, KEY, max_retries=0)) as model:
            with pytest.raises(ModelNotFoundError, match="`nope` does not exist"):
                await model.call(USER)
        async with colour.make(model_of(vllm)) as model:
            with pytest.raises(ModelStatusError, match="temperature") as wrong:
                await model.call(USER, temperature=-1)
            assert wrong.value.status_code == 400
            with pytest.raises(ContextLengthError, match="max_tokens=100000"):
                await model.call(USER, max_tokens=100_000)

    colour.run(body)


# -- reasoning -------------------------------------------------------------------------------------------------------------


def test_thoughts_that_a_parser_files_apart_go_where_they_are_wanted(colour: Colour, parsing: Server) -> None:
    """The small model never ends its thought, so everything is one."""

    async def body() -> None:
        async with colour.make(model_of(parsing, default_max_tokens=8)) as model:
            separate = await model.call(USER, reasoning="separate", **GREEDY)
            assert separate.text == ""
            assert separate.reasoning
            inline = await model.call(USER, reasoning="inline", **GREEDY)
            assert inline.text.startswith("<think>")
            assert separate.reasoning in inline.text
            assert (await model.call(USER, reasoning="drop", **GREEDY)).text == ""
            off = await model.call(
                USER, reasoning="separate", chat_template_kwargs={"enable_thinking": False}, **GREEDY
            )
            assert (off.text, off.reasoning) == (separate.reasoning, "")

    colour.run(body)


def test_a_thought_inside_the_content_stays_there(colour: Colour, vllm: Server) -> None:
    pattern = "<think>[a-z ]{4,12}</think>[a-z]{3,9}"

    async def body() -> None:
        async with colour.make(model_of(vllm, default_max_tokens=40)) as model:
            for where in ("inline", "separate", "drop"):
                completion = await model.call(USER, reasoning=where, structured_outputs={"regex": pattern})
                assert re.fullmatch(pattern, completion.text), where

    colour.run(body)
