"""What is known of each kind of server, and what is learned of the one at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import USER, Colour
from tframex.exchange import ServedModel, decode_chunk
from tframex.model import VLLMModel
from tframex.servers import (
    LLAMA_CPP,
    OPENAI,
    SERVERS,
    UNKNOWN,
    VLLM,
    ServerKind,
    Where,
    server_named,
    server_of_chunk,
    server_of_headers,
    server_of_owner,
)
from tframex.testing import FakeVLLM

KNOWN = [server for server in SERVERS if server is not UNKNOWN]


def test_every_kind_has_one_name_and_no_two_kinds_are_recognised_by_the_same() -> None:
    signs: list[Any] = [owner for server in SERVERS for owner in server.owners]
    signs += [server.header for server in SERVERS if server.header]
    signs += [server.fingerprint for server in SERVERS if server.fingerprint]
    assert len(set(signs)) == len(signs)
    assert [server_named(server.name) for server in SERVERS] == list(SERVERS)


@pytest.mark.parametrize("server", KNOWN, ids=lambda server: server.name)
def test_a_kind_is_recognised_by_its_signs(server: ServerKind) -> None:
    assert all(server_of_owner(owner) is server for owner in server.owners)
    if server.header is not None:
        name, value = server.header
        assert server_of_headers({name: value or "x"}) is server
    if server.fingerprint:
        assert server_of_chunk(prompt_ids=False, fingerprint=f"{server.fingerprint}1") is server


def test_what_has_no_sign_is_unknown_and_promises_nothing() -> None:
    assert server_of_owner("somebody") is UNKNOWN
    assert server_of_headers({"server": "uvicorn"}) is UNKNOWN
    assert server_of_chunk(prompt_ids=False, fingerprint=None) is UNKNOWN
    assert server_of_chunk(prompt_ids=False, fingerprint="fp_1") is UNKNOWN
    assert (UNKNOWN.continues, UNKNOWN.token_ids, UNKNOWN.any_name) == (None, False, False)


@pytest.mark.parametrize("body", [None, [], {}, {"a": None}, {"a": []}, {"a": {"b": None}}])
def test_a_value_that_is_not_where_it_should_be_is_none(body: Any) -> None:
    assert Where("/x", ("a", "b")).find(body) is None
    assert Where("/x", ("a", "b")).find({"a": {"b": 1}}) == 1


@pytest.mark.parametrize("server", KNOWN, ids=lambda server: server.name)
def test_a_fake_of_each_kind_is_taken_for_it(colour: Colour, server: ServerKind) -> None:
    """By what it says of itself, and by what an answer shows."""
    dialect: Any = server.name

    async def body() -> None:
        for ask in asks():
            made = VLLMModel("fake", fake.url, "k")
            async with colour.make(made) as model:
                await ask(model)
            known = made._lookup.served
            # An answer of OpenAI has no sign that the fake imitates.
            assert known.server is server or (server is OPENAI and known.server is UNKNOWN)

    def asks() -> Iterator[Any]:
        yield lambda model: model.continues({})
        yield lambda model: model.call(USER)

    with FakeVLLM("Red.", dialect=dialect) as fake:
        colour.run(body)


def test_an_answer_counts_for_more_than_a_list() -> None:
    known = ServedModel()
    known.learn_from_owner("openai")
    assert (known.server, known.continues, known.token_ids) == (OPENAI, False, False)
    known.learn_from_chunk(decode_chunk(b'{"choices":[],"prompt_token_ids":null}'))
    assert (known.server, known.token_ids) == (VLLM, True)
    known.learn_from_owner("llamacpp")
    known.learn_from_headers({"server": "llama.cpp"})
    assert known.server is VLLM


def test_what_was_seen_to_fail_is_not_believed_again() -> None:
    known = ServedModel(continues=False)
    known.learn_from_headers({"server": "llama.cpp"})
    assert (known.server, known.continues) == (LLAMA_CPP, False)
