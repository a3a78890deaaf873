"""One answer, over as many requests as it takes.

A state machine without I/O: bytes and failures go in, pieces of the answer and the next request come out. A driver of
either colour does the sending (`_driver.py`, `_sync_driver.py`). What to do when an answer breaks off is decided in
`_ladder.py`, whether it is complete in `_evidence.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import tenacity

from tframex._logging import get_logger
from tframex._types import ReasoningMode, ResumeMode
from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, ResponseFormatError
from tframex.exchange._abilities import Abilities
from tframex.exchange._attempt import Attempt
from tframex.exchange._collector import Collector
from tframex.exchange._evidence import Evidence
from tframex.exchange._failures import interrupted, stream_cut
from tframex.exchange._ladder import Standing, next_rung, patience
from tframex.exchange._ledger import Ledger
from tframex.exchange._observer import Observer
from tframex.exchange._reader import Arrival, ResponseReader
from tframex.exchange._request import ChatRequest
from tframex.exchange._retry import DEFAULT_WAIT, RetryBudget, is_overload, is_transient, seconds_to_wait
from tframex.exchange._splice import Splice, StartedOverError
from tframex.exchange._wire import Chunk, ChunkChoice, ChunkDelta, ChunkUsage
from tframex.tasks import Limit

__all__ = ["Exchange"]

log = get_logger("tframex.client")

# A request that returns less than this many tokens counts as one that returned nothing: a server that dies after every few
# tokens is dying, and is not asked again and again.
_PROGRESS = 8


class Exchange:
    """The state of one answer.

    Args:
        request: What the user asks.
        abilities: What is known of the endpoint; corrected here when it turns out wrong.
        budget: The retries that the model has left.
        model_id: For error messages.
        max_retries: How many requests in a row may fail without returning anything.
        resume: Whether a broken answer is continued.
        restartable: Whether the text has not been shown to the caller yet, so that starting over is allowed.
        asks_for_ids: Whether the first request asks for token ids, where the endpoint has them.
        wait: How long to wait between requests.
        limit: The calls that may be in flight; it is told when the endpoint refuses a request.
        observer: Is told what happens.
        reasoning: Where separate reasoning text goes.

    Attributes:
        answer: What has arrived.
        retries: How many requests were sent again from the start.
        resumes: How often the answer was continued.
        restarts: How often it started over; what had arrived was dropped.
        tail: Pieces that follow from the end of the answer, not from bytes.
        closed: The reader has left: what follows from closing the connection is no break.
        response: What is being read, so that another task or thread can close it.
    """

    def __init__(
        self,
        request: ChatRequest,
        *,
        abilities: Abilities,
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
        self.retries = 0
        self.resumes = 0
        self.restarts = 0
        self.tail = Arrival(joined=True)
        self.closed = False
        self.response: Any = None
        self._ledger = Ledger()
        self._inferred = False
        self._handed_out = False
        self._lossy = False
        self._abilities = abilities
        self._budget = budget
        self._model_id = model_id
        self._max_retries = max_retries
        self._resume = resume
        self._restartable = restartable
        self._asks_for_ids = asks_for_ids
        self._wait = wait
        self._limit = limit
        self._fruitless = 0
        self._break: ModelError | None = None
        self._given_up: set[str] = set()
        self._choices = request.options.get("n") or 1
        self._attempt = Attempt("fresh", request)
        self._begin(self._attempt)

    def begin_with(self, text: str, tokens: int) -> None:
        """Continue what an earlier run of this request has received: `text`, in `tokens` events."""
        self.answer.begin_with(text, tokens)
        self._ledger.close(ChunkUsage(0, tokens))
        self._break = stream_cut(model_id=self._model_id, why="an earlier run ended in the middle of the answer")

    # -- what the driver asks ------------------------------------------------------------------------------------

    def first(self) -> Attempt | None:
        """The first request; None if there is nothing left to ask for."""
        if self._break is not None:
            return self._next(self._break, 0.0)
        wanted = self._asks_for_ids and self._resume == "auto"
        if wanted and self._abilities.token_ids and self.request.allows_token_ids:
            self._begin(Attempt("fresh", self.request.asking_for_token_ids()))
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
        """Note that a request has ended, by itself (None) or by a failure, and say what to send next.

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
            self._budget.success()
            return None
        if error is None:
            error = evidence.lack(self._model_id)
            self._lossy = self._lossy or (evidence.ended and evidence.lossy)
        self.observer.broke_off(error)
        if self._limit is not None and not reader.events and is_overload(error):
            self._limit.refused()
        if reader.events:
            self._ledger.close(self._estimate())
        error.partial = self.answer.text
        kind = self._attempt.kind
        if isinstance(error.__cause__, StartedOverError) or (kind in ("tokens", "continue") and _refused(error)):
            log.info("continuation refused", step=kind, model=self._model_id, error=type(error).__name__)
            self._refuse(kind, error)
            # What the user should hear of is the break, not how the attempt to mend it was answered.
            return self._next(self._break or error, 0.0)
        if kind == "fresh" and self._asked_in_vain(error):
            self._abilities.token_ids = False
            return self._send(Attempt("fresh", self.request), error)
        self._break = error
        if not self._may_retry(error):
            raise self._final(error)
        return self._next(error, seconds_to_wait(self._wait, max(1, self._fruitless), error))

    def probed(self, owner: str) -> Attempt | None:
        """Note who serves the model (an empty string if it did not say), and say what to send."""
        self._abilities.learn_from_owner(owner)
        assert self._break is not None
        return self._next(self._break, 0.0)

    # -- what is known in the end --------------------------------------------------------------------------------

    def usage(self) -> tuple[ChunkUsage | None, bool]:
        """What all requests together cost, and whether a part of it is estimated."""
        return self._ledger.total(self._estimate())

    def evidence(self) -> tuple[str, ...]:
        """What the server sent that shows the answer to be complete."""
        return ("max_tokens",) if self._inferred else self._evidence().names()

    # -- decisions -----------------------------------------------------------------------------------------------

    def _begin(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.answer.begin()
        if attempt.kind == "continue":
            self.answer.tokens.lose()
        self._start = self.answer.tokens.count
        self.reader = ResponseReader(
            self.answer, self._ledger, self._abilities, self._model_id, self._choices, self._began
        )

    def _began(self) -> None:
        self.observer.first_event()

    def _evidence(self) -> Evidence:
        return Evidence(self.reader, self.answer, self._ledger, self._abilities, self._choices)

    @property
    def _joinable(self) -> bool:
        return self.request.spliceable and not self.answer.unspliceable and not self._lossy

    def _may_retry(self, error: ModelError) -> bool:
        if isinstance(error, ModelTimeoutError) and error.phase == "total":
            return False
        grown = self.answer.tokens.count - self._start
        if not is_transient(error) and not (grown and isinstance(error, (ModelTimeoutError, ResponseFormatError))):
            return False
        # An answer that grows with every request may take as many as it needs: a proxy that cuts each connection after
        # 100 s does not make a long answer impossible.
        if grown >= _PROGRESS:
            self._fruitless = 0
            return True
        self._fruitless += 1
        joinable = self._joinable and self._resume == "auto"
        return self._budget.allows(error) and self._fruitless <= patience(
            self._max_retries, grew=grown > 0, joinable=joinable
        )

    def _next(self, error: ModelError, delay: float) -> Attempt | None:
        rung = next_rung(self._standing())
        if rung == "finish":
            self._finish()
            return None
        if rung == "tokens":
            return self._after_tokens(error, delay)
        if rung == "continue":
            return self._continue_text(error, delay)
        if rung == "probe":
            self._abilities.probed = True
            return Attempt("probe", self.request, delay)
        if rung == "fail":
            raise self._final(error)
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
        answer, able = self.answer, self._abilities
        limit = self.request.max_tokens
        # Only where events are counted in tokens: a gateway may send a letter in each.
        counted = answer.tokens.counted or able.kind == "llama.cpp"
        return Standing(
            anything=answer.anything,
            joinable=self._joinable,
            all_tokens=counted and limit is not None and answer.tokens.count >= limit,
            # The text endpoint has no reasoning parser: inside a thought it would not find its end.
            exact=answer.tokens.exact and answer.phase == "content" and self.request.allows_token_ids,
            known=able.kind != "unknown" or able.probed,
            token_ids=able.token_ids,
            continues=bool(able.continues),
            given_up=frozenset(self._given_up),
            resume=self._resume == "auto",
            restart=self._restartable and self.restarts < self._max_retries,
        )

    def _after_tokens(self, error: ModelError, delay: float) -> Attempt:
        tokens = self.answer.tokens
        assert tokens.prompt is not None
        return self._resumed(
            Attempt("tokens", self.request.after_tokens(tokens.prompt, tokens.ids), delay), Splice(""), error
        )

    def _continue_text(self, error: ModelError, delay: float) -> Attempt:
        answer = self.answer
        message = answer.partial_message()
        partial = message.rstrip()
        said = answer.reasoning if answer.phase == "reasoning" else answer.content
        splice = Splice(said, message[len(partial) :], verify=True)
        if not partial:
            return self._resumed(Attempt("fresh", self.request, delay), splice, error)
        closed = bool(answer.reasoning) and answer.phase == "content"
        request = self.request.continuing(partial, answer.tokens.count, closed_thought=closed)
        return self._resumed(Attempt("continue", request, delay), splice, error)

    def _resumed(self, attempt: Attempt, splice: Splice, error: ModelError) -> Attempt:
        self.resumes += 1
        how: Literal["tokens", "continue"] = "tokens" if attempt.kind == "tokens" else "continue"
        self.observer.resumed(error, how=how, tokens=self.answer.tokens.count, delay=attempt.delay)
        self._send(attempt, error)
        self.reader.splice = splice
        return attempt

    def _send(self, attempt: Attempt, error: ModelError) -> Attempt:
        log.info(
            "sending again",
            step=attempt.kind,
            model=self._model_id,
            delay=round(attempt.delay, 3),
            tokens=self.answer.tokens.count,
            error=type(error).__name__,
        )
        self._begin(attempt)
        return attempt

    def _asked_in_vain(self, error: ModelError) -> bool:
        """Whether the request was refused because of the token ids that we, not the user, asked for: by a gateway, say."""
        name = "return_token_ids"
        return (
            isinstance(error, ModelStatusError)
            and error.status_code in (400, 422)
            and name in error.args[0]
            and name in self._attempt.request.options
            and name not in self.request.options
        )

    def _refuse(self, kind: str, error: ModelError) -> None:
        """Do without this way of continuing: for this answer, and for good if it was a guess that proved wrong."""
        self._given_up.add(kind)
        if kind == "tokens" and isinstance(error, ModelStatusError) and error.status_code in (404, 405):
            self._abilities.token_ids = False
        if kind == "continue" and isinstance(error.__cause__, StartedOverError):
            self._abilities.continues = False

    def _finish(self) -> None:
        """Finish an answer of which only the finish reason is missing."""
        chunk = Chunk(choices=[ChunkChoice(delta=ChunkDelta(), finish_reason="length")])
        self.answer.note(chunk, self.tail.pieces)
        self.tail.chunks.append(chunk)
        self.tail.data.append(b"{}")
        self._inferred = True

    def _final(self, error: ModelError) -> ModelError:
        if isinstance(error, (ModelTimeoutError, ResponseFormatError)) or not self.answer.anything:
            return error
        if isinstance(error, ModelStatusError) and error.status_code < 500:
            return error
        return interrupted(error, model_id=self._model_id, partial=self.answer.text)

    def _estimate(self) -> ChunkUsage:
        tokens = self.answer.tokens
        return ChunkUsage(len(tokens.prompt or ()), max(0, tokens.count - self._start))


def _refused(error: ModelError) -> bool:
    return isinstance(error, ModelStatusError) and error.status_code in (400, 404, 405, 422)
