"""What the reader was not given is no part of the answer, whatever a server sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import USER, Colour
from tests.unit.test_exchange import event, exchange
from tframex.errors import ModelError
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHOICE = st.dictionaries(
    st.sampled_from(["index", "delta", "text", "finish_reason", "logprobs", "token_ids"]), JSON, max_size=4
)
NAMES = st.sampled_from(["id", "choices", "usage", "error", "prompt_token_ids", "system_fingerprint"])
ODD = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, JSON | st.lists(CHOICE | JSON, max_size=2), max_size=3).map(
        lambda v: json.dumps(v).encode()
    ),
)
# What ends a response with an exception of each class that reading can raise.
HOSTILE = [
    b'{"choices": 5}',
    b'{"choices": [{"index": 1e999, "delta": {"content": 7}}]}',
    b'{"choices": [{"index": %s}]}' % (b"9" * 5000),
    b'{"choices": %s}' % (b"[" * 200_000),
    b'{"choices": [{"index": [], "delta": {"tool_calls": 7}}]}',
    b'{"choices": [{"delta": {"content": "x"}, "logprobs": {"content": 5}}]}',
    b'{"error": {"code": "\xc2\xb2"}}',
    b'{"error": %s1%s}' % (b"[" * 200_000, b"]" * 200_000),
    b'{"choices": [{"index": {}, "delta": [], "token_ids": "ab"}]}',
    b'"\xff"',
    b"\xed\xa0\x80",
]


def text_of(arrivals: list[Any]) -> str:
    """The text of the first choice that a reader was given."""
    pieces = []
    for arrival in arrivals:
        for chunk in arrival.chunks:
            if isinstance(chunk, str):
                pieces.append(chunk)
            else:
                pieces += [c.delta.content or "" for c in chunk.choices or () if c.delta and not c.index]
    return "".join(pieces)


def read(body: bytes, cuts: list[int]) -> tuple[Any, list[Any]]:
    state, arrivals = exchange(), []
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        arrivals.append(state.reader.feed(body[start:end]))
        if state.reader.failure is not None or state.reader.done:
            break
    return state, arrivals


@settings(max_examples=400)
@given(st.lists(st.text(min_size=1, max_size=5), max_size=8), st.lists(ODD, min_size=1, max_size=3), st.data())
def test_any_garbage_after_any_prefix_ends_after_what_was_good(
    words: list[str], odd: list[bytes], data: st.DataObject
) -> None:
    """However the bytes are split, and whatever follows: what was handed out is what is kept."""
    good = b"".join(event(word) for word in words)
    body = good + b"".join(b"data: " + item + b"\n\n" for item in odd)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    state, arrivals = read(body, cuts)
    delivered = text_of(arrivals)
    assert delivered.startswith("".join(words))
    assert state.answer.content == delivered
    try:
        step = state.ended(state.reader.failure)
        again = step is None or step.kind == "fresh"
        kept = delivered.rstrip() if again or step is None else step.request.messages[-1]["content"]
    except ModelError as error:
        kept = error.partial.rstrip()
    assert kept == delivered.rstrip()


@pytest.mark.parametrize("odd", HOSTILE, ids=range(len(HOSTILE)))
def test_an_event_that_cannot_be_read_is_a_break_after_those_before_it(odd: bytes) -> None:
    state, arrivals = read(event("One") + event(" two") + b"data: " + odd + b"\n\n" + event(" three"), [])
    assert text_of(arrivals)[:7] == "One two"
    assert state.answer.content == text_of(arrivals)
    if state.reader.failure is None:  # understood in part
        assert text_of(arrivals).endswith(" three")


@pytest.mark.parametrize("odd", [odd for odd in HOSTILE if b'"content": ' not in odd])
@pytest.mark.usefixtures("no_wait")
def test_nothing_of_an_answer_is_lost_to_an_event_that_cannot_be_read(colour: Colour, odd: bytes) -> None:
    text = "One two three four five six seven eight nine ten"

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await model.call(USER)
            assert completion.text == text
            assert completion.finish_reason == "stop"

    with FakeVLLM(text, coalesce=50, faults=[Fault.garbage(1500, b"data: " + odd + b"\n\n")]) as server:
        colour.run(body)
