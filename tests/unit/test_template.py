"""Chunks that are copied instead of validated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from tframex.client._template import TextTemplate


def encoded(text: str, *, ascii_only: bool = False, **choice: Any) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795342942,
        "model": "smol",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None, **choice}],
        "prompt_text": None,
    }
    return json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def template(text: str, data: bytes) -> TextTemplate | None:
    return TextTemplate.of(ChatCompletionChunk.model_validate_json(data), data, text)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_a_copy_is_the_chunk_that_validation_gives_or_none(text: str, ascii_only: bool) -> None:
    made = template(" colour", encoded(" colour"))
    assert made is not None
    data = encoded(text, ascii_only=ascii_only)
    copy = made.fill(text, data)
    if copy is None:
        assert data != encoded(" colour").replace(b" colour", text.encode())
        return
    validated = ChatCompletionChunk.model_validate_json(data)
    assert copy == validated
    assert copy.to_json() == validated.to_json()
    for mine, theirs in ((copy, validated), (copy.choices[0], validated.choices[0])):
        assert mine.model_fields_set == theirs.model_fields_set
    assert copy.model_copy(deep=True) == validated


def test_copies_share_nothing_that_can_be_changed() -> None:
    made = template("a", encoded("a"))
    assert made is not None
    one, other = made.fill("b", encoded("b")), made.fill("c", encoded("c"))
    assert one is not None
    assert other is not None
    one.choices[0].delta.role = "tool"
    one.choices[0].finish_reason = "stop"
    one.choices.append(one.choices[0])
    one.model = "another"
    setattr(one.choices[0], "note", 1)  # noqa: B010 # an unknown field
    for chunk in (other, made.fill("c", encoded("c"))):
        assert chunk == ChatCompletionChunk.model_validate_json(encoded("c"))


@pytest.mark.parametrize(
    "data",
    [
        encoded("a", token_ids=[7]),
        encoded("a", logprobs={"content": []}),
        encoded("a").replace(b'"content":"a"', b'"content":"b","content":"a"'),
        encoded("a").replace(b'"content":', b'"content" : '),
    ],
)
def test_there_is_no_template_where_copies_would_share_or_mean_something_else(data: bytes) -> None:
    made = template("a", data)
    assert made is None or made.fill("c", encoded("c")) is None


def test_a_chunk_that_differs_in_more_than_its_text_is_not_copied() -> None:
    made = template("a", encoded("a"))
    assert made is not None
    assert made.fill("b", encoded("b", finish_reason="stop")) is None
    assert made.fill("b", encoded("b").replace(b"chatcmpl-1", b"chatcmpl-2")) is None
