"""The requests that continue an answer, and how what they return is joined to it."""

from __future__ import annotations

from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, ResponseFormatError
from tframex.exchange._attempt import Attempt
from tframex.exchange._collector import Collector
from tframex.exchange._event_trail import EventTrail
from tframex.exchange._failures import interrupted
from tframex.exchange._ladder import Standing
from tframex.exchange._request import ChatRequest
from tframex.exchange._served_model import ServedModel
from tframex.exchange._splice import Splice, StartedOverError
from tframex.servers import UNKNOWN

__all__ = [
    "after_text",
    "after_tokens",
    "final",
    "is_refused",
    "refuses_token_ids",
    "standing_of",
    "unlearn",
]


def standing_of(
    request: ChatRequest,
    resume: bool,
    restart: bool,
    answer: Collector,
    served: ServedModel,
    *,
    lossy: bool,
    given_up: set[str],
) -> Standing:
    """All that the next step depends on."""
    limit, tokens = request.max_tokens, answer.tokens
    # Only where each event is known to be a token: a gateway may send single letters.
    counted = tokens.counted or served.server.event_is_token
    return Standing(
        anything=answer.anything,
        joinable=request.spliceable and not answer.unspliceable and not lossy,
        all_tokens=counted and limit is not None and tokens.count >= limit,
        # The text endpoint has no reasoning parser: inside a thought it would not find its end.
        exact=tokens.exact and answer.phase == "content" and request.allows_token_ids,
        known=served.server is not UNKNOWN or served.probed,
        token_ids=served.token_ids,
        continues=bool(served.continues) and request.allows_text,
        given_up=frozenset(given_up),
        resume=resume,
        restart=restart,
    )


def after_tokens(request: ChatRequest, answer: Collector, delay: float) -> tuple[Attempt, Splice]:
    """Continue from exactly the tokens that have arrived."""
    tokens = answer.tokens
    assert tokens.prompt is not None
    return Attempt("tokens", request.after_tokens(tokens.prompt, tokens.ids), delay), Splice("")


def after_text(request: ChatRequest, answer: Collector, delay: float) -> tuple[Attempt, Splice]:
    """Continue the text with `continue_final_message`; ask again if only white space has arrived."""
    message = answer.partial_message()
    partial = message.rstrip()
    said = answer.reasoning if answer.phase == "reasoning" else answer.content
    splice = Splice(said, message[len(partial) :], verify=True)
    if not partial:
        return Attempt("fresh", request, delay), splice
    closed = bool(answer.reasoning) and answer.phase == "content"
    continuing = request.continuing(partial, answer.tokens.count, closed_thought=closed)
    return Attempt("continue", continuing, delay), splice


def is_refused(kind: str, error: ModelError) -> bool:
    """Whether an attempt to continue was refused, by a status or by an answer that starts over."""
    if isinstance(error.__cause__, StartedOverError):
        return True
    by_status = isinstance(error, ModelStatusError) and error.status_code in (400, 404, 405, 422)
    return by_status and kind in ("tokens", "continue")


def unlearn(served: ServedModel, kind: str, error: ModelError) -> None:
    """Correct what is known of the endpoint after a refusal that applies to all answers."""
    if kind == "tokens" and isinstance(error, ModelStatusError) and error.status_code in (404, 405):
        served.refuses_ids()
    if kind == "continue" and isinstance(error.__cause__, StartedOverError):
        served.continues = False


def refuses_token_ids(sent: ChatRequest, asked: ChatRequest, error: ModelError) -> bool:
    """Whether a request was refused (by some gateways) because of the token ids that we, not the user, asked for."""
    name = "return_token_ids"
    return (
        isinstance(error, ModelStatusError)
        and error.status_code in (400, 422)
        and name in error.args[0]
        and name in sent.options
        and name not in asked.options
    )


def final(error: ModelError, answer: Collector | EventTrail, model_id: str) -> ModelError:
    """The error to raise when `error` leads to no further request."""
    if isinstance(error, (ModelTimeoutError, ResponseFormatError)) or not answer.anything:
        return error
    if isinstance(error, ModelStatusError) and error.status_code < 500:
        return error
    return interrupted(error, model_id=model_id, partial=answer.text)
