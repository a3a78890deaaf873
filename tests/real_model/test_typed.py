"""Answers of a type, on the embedded llama.cpp."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from tests.conftest import Colour, ask
from tests.unit.test_output import TYPES, name
from tframex.agents import BasicAgent
from tframex.errors import OutputValidationError
from tframex.local import LocalServer
from tframex.model import VLLMModel

pytestmark = pytest.mark.real_model

ASKED = ask("Describe the dog Rex.")
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 120}


class Pet(BaseModel):
    name: str = Field(max_length=12, description="its name")
    kind: Literal["dog", "cat"]
    legs: int = Field(ge=0, le=8)


class Pets(BaseModel):
    pets: list[Pet] = Field(min_length=2, max_length=3)


def test_a_value_is_of_its_type(colour: Colour, local_server: LocalServer) -> None:
    async def body() -> None:
        model = VLLMModel(local_server.model_name, local_server.url, "none")
        async with colour.make(model) as made:
            for output_type in (Pet, Literal["yes", "no"], bool):
                completion = await made.call(ASKED, output_type=output_type, **GREEDY)
                assert completion.output is not None
                assert completion.finish_reason == "stop"
            *parts, last = [
                part async for part in colour.make(BasicAgent("a", model)).stream("Rex!", output_type=Pets, **GREEDY)
            ]
            assert isinstance(last, Pets)
            assert parts[-1]["pets"] == last.pets

    colour.run(body)


@pytest.mark.parametrize(("output_type", "value"), TYPES, ids=name)
def test_the_grammar_takes_the_schema_of_any_type(local_server: LocalServer, output_type: Any, value: Any) -> None:
    async def body() -> None:
        async with VLLMModel(local_server.model_name, local_server.url, "none") as model:
            with pytest.raises(OutputValidationError, match="max_tokens=2"):
                await model.call(ASKED, output_type=output_type, max_tokens=2)
            outputs = model._lookup.served.outputs
            assert (outputs.refused, outputs.refused_for, outputs.without) == (set(), {}, set())

    Colour("asyncio").run(body)
