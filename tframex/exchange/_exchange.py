"""One answer, over as many requests as it takes.

A state machine without I/O: bytes and failures go in, pieces of the answer and the next request come out. A driver does
the sending. What to do when an answer breaks off is decided in `_ladder.py`, whether it is complete in `_evidence.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import tenacity

from tframex._logging import get_logger
from tframex._types import ReasoningMode, ResumeMode
from tframex.errors import ModelError
from tframex.exchange._arrival import Arrival, ending
from tframex.exchange._attempt import Attempt
from tframex.exchange._collector import Collector
from tframex.exchange._continuation import (
    after_text,
    after_tokens,
    final,
    is_refused,
    refuses_token_ids,
    standing_of,
    unlearn,
)
from tframex.exchange._evidence import Evidence
from tframex.exchange._failures import stream_cut
from tframex.exchange._ladder import Standing, next_rung
from tframex.exchange._ledger import Ledger
from tframex.exchange._observer import Observer
from tframex.exchange._patience import Patience
from tframex.exchange._request import ChatRequest
from tframex.exchange._retry import DEFAULT_WAIT, RetryBudget, is_overload
from tframex.exchange._served_model import ServedModel
from tframex.exchange._splice import Splice
from tframex.exchange._text_reader import reader_for
from tframex.exchange._wire import ChunkUsage
from tframex.tasks import Limit

__all__ = ["Exchange"]

log = get_logger("tframex.client")


class Exchange:
    """The state of one answer.

    Args:
        request: What the user asks.
        served: What is known of the endpoint; corrected here when it turns out wrong.
        budget: The retries that the model has left.
        model_id: For error messages.
        max_retries: How many requests in a row may fail without returning anything.
        resume: Whether a broken answer is continued.
        restartable: Whether the text has not been shown to the caller yet, so that starting over is allowed.
        asks_for_ids: Whether the first request asks for token ids, where the endpoint has them.
        wait: How long to wait between requests.
        limit: The calls that may be in flight; it is notified when the endpoint refuses a request.
        observer: Receives reports of what happens.
        reasoning: Where separate reasoning text goes.

    Attributes:
        answer: What has arrived.
        retries: How many requests were sent again from the start.
        resumes: How often the answer was continued.
        restarts: How often it started over, dropping what had arrived; also counted in `retries`.
        tail: Pieces that follow from the end of the answer, not from bytes.
        closed: The reader has left.
        response: The response being read, so that another task or thread can close it.
    """

    def __init__(
        self,
        request: ChatRequest,
        *,
        served: ServedModel,
        budget: RetryBudget,
        model_id: str,
        max_retries: int = 2,
        resume: ResumeMode = "auto",
        restartable: bool = False,
        asks_for_ids: bool = True,
        wait: tenacity.wait.wait_base = DEFAULT_WAIT,
        limit: Limit | None = None,
        observer: Observer | None = None,
        reasoning: ReasoningMode = "separate",
    ) -> None:
        self.request = request
        self.observer = observer or Observer()
        self.answer = Collector(reasoning)
        self.retries = self.resumes = self.restarts = 0
        self.tail = Arrival(joined=True)
        self.closed = False
        self.response: Any = None
        self._ledger = Ledger()
        self._inferred = self._handed_out = self._lossy = False
        self._served, self._model_id = served, model_id
        self._patience = Patience(budget, max_retries, wait)
        self._resume, self._restartable = resume, restartable
        self._asks_for_ids, self._limit = asks_for_ids, limit
        self._break: ModelError | None = None
        self._given_up: set[str] = set()
        self._attempt = Attempt("fresh", request)
        self._begin(self._attempt)

    def observe(self, observer: Observer) -> None:
        """Report to another observer from now on."""
        self.observer = self.reader.observer = observer

    def begin_with(self, text: str, tokens: int) -> None:
        """Continue what an earlier run of this request has received: `text`, in `tokens` events."""
        self.answer.begin_with(text, tokens)
        self._ledger.begin_with(tokens)
        self._break = stream_cut(model_id=self._model_id, why="an earlier run ended in the middle of the answer")

    def leave(self) -> None:
        """Note that the reader has left: an error that closing the connection causes is not a break."""
        self.closed = self.reader.over = True

    # -- what the driver asks ------------------------------------------------------------------------------------

    def first(self) -> Attempt | None:
        """The first request; None if there is nothing left to ask for."""
        if self._break is not None:
            return self._next(self._break, 0.0)
        wanted = self._asks_for_ids and self._resume == "auto"
        if wanted and self._served.token_ids and self.request.allows_token_ids:
            self._attempt = Attempt("fresh", self.request.asking_for_token_ids())
        return self._attempt

    @property
    def further(self) -> bool:
        """Whether the request to come is not the first of this answer."""
        return bool(self.retries or self.resumes)

    def sending(self) -> None:
        """Note that the request of the last attempt is about to be sent."""
        if (kind := self._attempt.kind) != "probe":
            self.observer.sent(kind)

    def ended(self, error: ModelError | None) -> Attempt | None:
        """Note that a request has ended, without a failure (None) or with one, and return what to send next.

        Returns:
            The next attempt, or None: the answer is complete.

        Raises:
            ModelError: The answer is not complete and nothing can be done about it.
        """
        if self.closed:
            return None
        reader, evidence = self.reader, self._evidence()
        self._handed_out = self._handed_out or reader.events > 0
        if evidence.ended and (error is not None or not evidence.lossy):
            self._patience.success()
            return None
        if error is None:
            error = evidence.lack(self._model_id)
            self._lossy = self._lossy or (evidence.ended and evidence.lossy)
        self.observer.broke_off(error)
        if self._limit is not None and not reader.events and is_overload(error):
            self._limit.refused()
        if reader.events:
            self._ledger.close(self.answer.tokens)
        error.partial = self.answer.text
        kind = self._attempt.kind
        if is_refused(kind, error):
            log.info("continuation refused", step=kind, model=self._model_id, error=type(error).__name__)
            self._given_up.add(kind)
            unlearn(self._served, kind, error)
            # The user needs to see the break, not how the attempt to continue was answered.
            return self._next(self._break or error, 0.0)
        if kind == "fresh" and refuses_token_ids(self._attempt.request, self.request, error):
            self._served.refuses_ids()
            return self._send(Attempt("fresh", self.request), error)
        self._break = error
        standing = self._standing()
        if not self._patience.allows(error, self.answer.tokens.grown, joinable=standing.joinable and standing.resume):
            raise final(error, self.answer, self._model_id)
        return self._next(error, self._patience.delay(error))

    def probed(self, owner: str) -> Attempt | None:
        """Note who serves the model (empty: not reported), and return what to send next."""
        self._served.learn_from_owner(owner)
        assert self._break is not None
        return self._next(self._break, 0.0)

    # -- what is known in the end --------------------------------------------------------------------------------

    def usage(self) -> tuple[ChunkUsage | None, bool]:
        """What all requests together cost, and whether a part of it may be estimated."""
        return self._ledger.total(self.answer.tokens)

    def evidence(self) -> tuple[str, ...]:
        """What the server sent that shows the answer to be complete."""
        return ("max_tokens",) if self._inferred else self._evidence().names()

    # -- decisions -----------------------------------------------------------------------------------------------

    def _begin(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.answer.begin()
        if attempt.kind == "continue":
            self.answer.tokens.lose()
        self.reader = reader_for(attempt.request)(
            self.answer, self._ledger, self._served, self._model_id, self.request.choices, self.observer
        )

    def _evidence(self) -> Evidence:
        return Evidence(self.reader, self.answer, self._ledger, self._served, self.request.choices)

    def _next(self, error: ModelError, delay: float) -> Attempt | None:
        rung = next_rung(self._standing())
        if rung == "finish":
            self.tail = ending(self.answer)
            self._inferred = True
            return None
        if rung == "tokens":
            return self._resumed(*after_tokens(self.request, self.answer, delay), error)
        if rung == "continue":
            return self._resumed(*after_text(self.request, self.answer, delay), error)
        if rung == "probe":
            self._served.probed = True
            return Attempt("probe", self.request, delay)
        if rung == "fail":
            raise final(error, self.answer, self._model_id)
        self.retries += 1
        if rung == "again":
            self.observer.retried(error, delay=delay, dropped=0)
            attempt = self._send(Attempt("fresh", self._attempt.request, delay), error)
            if self._handed_out:
                # The reader has the opening chunk already.
                self.reader.splice = Splice("")
            return attempt
        self.restarts += 1
        self.observer.retried(error, delay=delay, dropped=len(self.answer.content) + len(self.answer.reasoning))
        self.answer.clear()
        self._lossy = False
        return self._send(Attempt("fresh", self.request, delay), error)

    def _standing(self) -> Standing:
        restart = self._restartable and self.restarts < self._patience.max_retries
        asked, known = (self.request, self._resume == "auto", restart), self._served
        return standing_of(*asked, self.answer, known, lossy=self._lossy, given_up=self._given_up)

    def _resumed(self, attempt: Attempt, splice: Splice, error: ModelError) -> Attempt:
        self.resumes += 1
        how: Literal["tokens", "continue"] = "tokens" if attempt.kind == "tokens" else "continue"
        self.observer.resumed(error, how=how, tokens=self.answer.tokens.count, delay=attempt.delay)
        self._send(attempt, error)
        self.reader.splice = splice
        return attempt

    def _send(self, attempt: Attempt, error: ModelError) -> Attempt:
        sent = {"step": attempt.kind, "delay": round(attempt.delay, 3), "tokens": self.answer.tokens.count}
        log.info("sending again", model=self._model_id, error=type(error).__name__, **sent)
        self._begin(attempt)
        return attempt
