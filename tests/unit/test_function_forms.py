"""The calls of a public suite in each form that endpoints send them in, cut at every place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import Colour
from tests.functions import CATEGORIES, Case, cases
from tests.unit.test_acting import SERVERS
from tframex.completion import ToolCall
from tframex.events import RunFinished
from tframex.model import VLLMModel
from tframex.model._action_text import ActionText
from tframex.model._call_prompts import as_action, as_markup
from tframex.model._call_text import CallText
from tframex.testing import Answer, FakeVLLM, Fault

# Of each category, where each case takes a request.
_EVERY = 12


def meant(calls: Sequence[ToolCall]) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in calls]


def as_sent(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"function": {"name": call.name, "arguments": call.arguments}} for call in calls]


def read(reader: CallText | ActionText, *pieces: str) -> list[tuple[str, Any]]:
    found = [item for piece in pieces for item in reader.feed(piece)] + reader.end()
    assert all(isinstance(item, ToolCall) for item in found), found
    return meant(reader.calls)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_call_between_tags_arrives_the_same_for_every_split(category: str) -> None:
    for number, case in enumerate(cases(category)):
        written = as_markup("", as_sent(case.calls))
        expected = meant(case.calls)
        # Long answers are many splits of much text.
        for at in range(len(written)) if len(case.calls) == 1 or number % 6 == 0 else ():
            assert read(CallText(), written[:at], written[at:]) == expected, (case.id, at)
        assert read(CallText(), *written) == expected, case.id


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_call_in_an_action_arrives_the_same(category: str) -> None:
    for case in cases(category):
        assert read(ActionText(), *as_action("", as_sent(case.calls))) == meant(case.calls), case.id


@pytest.mark.parametrize("way", SERVERS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_calls_arrive_the_same_byte_by_byte_in_every_form(category: str, way: str) -> None:
    async def body() -> None:
        playing: list[Case] = []
        with FakeVLLM(
            lambda _: Answer(calls=playing[0].calls),
            **SERVERS[way],
            faults=lambda _: Fault.split(1),
            context_window=100_000,
            coalesce=64,
        ) as server:
            async with VLLMModel("fake", server.url, "k", default_max_tokens=None) as model:
                for case in cases(category)[::_EVERY]:
                    playing[:] = [case]
                    tools = [{"type": "function", "function": function} for function in case.functions]
                    messages = [{"role": "user", "content": case.prompt}]
                    *_, last = [event async for event in model.act(messages, tools=tools)]
                    assert isinstance(last, RunFinished)
                    assert meant(last.result.tool_calls) == meant(case.calls), case.id

    Colour("asyncio").run(body)
