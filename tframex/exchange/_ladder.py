"""What to do next about an answer that has broken off: the decision alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Rung", "Standing", "next_rung", "patience"]

Rung = Literal["again", "finish", "tokens", "probe", "continue", "restart", "fail"]


@dataclass(frozen=True)
class Standing:
    """All that the decision depends on.

    Attributes:
        anything: The reader has received some of the answer.
        joinable: Two halves of this answer can be joined: no tools, no grammar, one choice, nothing lost in between.
        all_tokens: It has as many tokens as were asked for; only its finish reason is missing.
        exact: The ids of its tokens are known, and it can be continued from them.
        known: Who serves the model is known, or has been asked.
        token_ids: The server has token ids and continues from them.
        continues: The server continues a partial message.
        given_up: What did not work for this answer.
        resume: The caller allows broken answers to be continued.
        restart: The caller allows the answer to start over.
    """

    anything: bool = True
    joinable: bool = True
    all_tokens: bool = False
    exact: bool = False
    known: bool = True
    token_ids: bool = False
    continues: bool = False
    given_up: frozenset[str] = field(default_factory=frozenset)
    resume: bool = True
    restart: bool = False


def next_rung(standing: Standing) -> Rung:
    """The highest rung of the ladder that is still possible.

    `"again"`: the same request, since nothing of the answer has arrived. `"finish"`: nothing more to ask for. `"tokens"`:
    continue from exactly these tokens. `"probe"`: first ask who serves the model. `"continue"`: continue the text with
    `continue_final_message`. `"restart"`: the same request, dropping what arrived. `"fail"`: give up.
    """
    if not standing.anything:
        return "again"
    if not standing.resume:
        return "fail"
    if standing.joinable:
        if standing.all_tokens:
            return "finish"
        if standing.exact and standing.token_ids and "tokens" not in standing.given_up:
            return "tokens"
        if not standing.known:
            return "probe"
        # An unknown endpoint may start over in other words, which cannot be told from a continuation.
        if standing.continues and "continue" not in standing.given_up:
            return "continue"
    return "restart" if standing.restart else "fail"


def patience(max_retries: int, *, grew: bool, joinable: bool) -> int:
    """How many requests in a row may return too little before the call fails.

    Args:
        max_retries: What the caller allows.
        grew: The last request has added to the answer.
        joinable: The answer can be continued. Resuming is not retrying: with `max_retries=0` it is still continued once.
    """
    return max(max_retries, 1) if grew and joinable else max_retries
