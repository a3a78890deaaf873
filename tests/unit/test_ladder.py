"""The resume ladder as a table, and the ledger."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tframex.exchange._ladder import Rung, Standing, next_rung, patience
from tframex.exchange._ledger import Ledger
from tframex.exchange._token_trail import TokenTrail
from tframex.exchange._wire import ChunkUsage

VLLM: dict[str, Any] = {"token_ids": True, "continues": True}
TABLE: list[tuple[str, dict[str, Any], Rung]] = [
    ("nothing has arrived", {"anything": False}, "again"),
    ("nothing has arrived, and nothing is to be continued", {"anything": False, "resume": False}, "again"),
    ("the caller wants no continuation", {"resume": False, **VLLM}, "fail"),
    ("not even by starting over", {"resume": False, "restart": True, **VLLM}, "fail"),
    ("all tokens are there", {"all_tokens": True, "exact": True, **VLLM}, "finish"),
    ("all tokens of a tool call are there", {"all_tokens": True, "joinable": False, **VLLM}, "fail"),
    ("the tokens are known", {"exact": True, **VLLM}, "tokens"),
    ("the tokens are known, the server is not", {"exact": True, "token_ids": True, "known": False}, "tokens"),
    ("the tokens are not known", VLLM, "continue"),
    ("the server has no token ids", {"exact": True, "continues": True}, "continue"),
    ("from tokens it did not work", {"exact": True, "given_up": frozenset({"tokens"}), **VLLM}, "continue"),
    ("neither way worked", {"exact": True, "given_up": frozenset({"tokens", "continue"}), **VLLM}, "fail"),
    (
        "neither way worked, and it may start over",
        {"exact": True, "given_up": frozenset({"tokens", "continue"}), "restart": True, **VLLM},
        "restart",
    ),
    ("it is not known who answers", {"known": False}, "probe"),
    ("it is not known who answers a tool call", {"known": False, "joinable": False}, "fail"),
    ("the server does not continue", {"continues": False}, "fail"),
    ("the server does not continue, and it may start over", {"restart": True}, "restart"),
    ("a tool call breaks off", {"joinable": False, "exact": True, **VLLM}, "fail"),
    ("a tool call breaks off, and it may start over", {"joinable": False, "restart": True, **VLLM}, "restart"),
]


@pytest.mark.parametrize(("what", "standing", "rung"), TABLE, ids=[row[0] for row in TABLE])
def test_the_next_rung(what: str, standing: dict[str, Any], rung: Rung) -> None:
    assert next_rung(Standing(**standing)) == rung


def test_whatever_the_standing_what_was_given_up_is_not_tried_and_what_cannot_be_joined_is_not_continued() -> None:
    flags = ["anything", "joinable", "all_tokens", "exact", "known", "token_ids", "continues", "resume", "restart"]
    for values in itertools.product([False, True], repeat=len(flags)):
        for given_up in ((), ("tokens",), ("continue",), ("tokens", "continue")):
            standing = Standing(**dict(zip(flags, values, strict=True)), given_up=frozenset(given_up))
            rung = next_rung(standing)
            assert rung not in given_up
            if rung in ("finish", "tokens", "continue", "probe"):
                assert standing.joinable
                assert standing.resume
                assert standing.anything
            assert (rung == "again") == (not standing.anything)
            assert rung != "restart" or standing.restart


@pytest.mark.parametrize(
    ("max_retries", "grew", "joinable", "allowed"),
    [(0, True, True, 1), (0, False, True, 0), (0, True, False, 0), (2, True, True, 2), (2, False, False, 2)],
)
def test_to_resume_is_not_to_retry(max_retries: int, grew: bool, joinable: bool, allowed: int) -> None:
    assert patience(max_retries, grew=grew, joinable=joinable) == allowed


def test_the_ledger_estimates_what_was_not_reported() -> None:
    ledger, tokens = Ledger(), TokenTrail()
    tokens.note_texts([None] * 3)
    assert ledger.total(tokens) == (None, False)
    ledger.report(ChunkUsage(10, 5))
    assert ledger.total(tokens) == (ChunkUsage(10, 5), False)
    ledger.close(tokens)
    tokens.begin()
    tokens.note_texts([None] * 2)
    assert ledger.total(tokens) == (ChunkUsage(10, 7), True)
    ledger.close(tokens)
    tokens.begin()
    ledger.report(ChunkUsage(17, 1))
    assert ledger.total(tokens) == (ChunkUsage(10 + 10 + 17, 8), True)
    assert ledger.total(tokens) == ledger.total(tokens), "asking changes nothing"
