"""One answer, over as many requests as it takes.

This is the resume ladder as a state machine without I/O: bytes and failures go in, chunks and the next request come
out. A driver of either colour does the sending (`_drive.py`).

1. Nothing was handed out: send the same request again, if the failure is transient.
2. Something was: continue token-exactly, else with `continue_final_message`; where nobody has seen the text yet, start
   over; else give up with the text so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tenacity

from tframex._logging import get_logger
from tframex._types import ResumeMode
from tframex.errors import ModelError, ModelStatusError, ModelTimeoutError, ResponseFormatError
from tframex.exchange._abilities import Abilities
from tframex.exchange._failures import interrupted, stream_cut, unreadable
from tframex.exchange._observer import Observer
from tframex.exchange._reader import Arrival, ResponseReader
from tframex.exchange._received import Received
from tframex.exchange._request import ChatRequest
from tframex.exchange._retry import DEFAULT_WAIT, RetryBudget, is_overload, is_transient, seconds_to_wait
from tframex.exchange._splice import Splice, StartedOverError
from tframex.exchange._wire import Chunk, ChunkChoice, ChunkDelta, ChunkUsage
from tframex.tasks import Limit

__all__ = ["Attempt", "Exchange"]

log = get_logger("tframex.client")

# A request that brings less than this many tokens counts as one that brought nothing: a server that dies after every few
# tokens is dying, and is not asked again and again.
_PROGRESS = 8


@dataclass(frozen=True)
class Attempt:
    """What to do next: wait, then send a request, or first ask the endpoint what it is.

    Attributes:
        kind: How the request relates to the answer.
        request: What to send.
        delay: Seconds to wait before.
    """

    kind: Literal["fresh", "tokens", "continue", "probe"]
    request: ChatRequest
    delay: float = 0.0


class Exchange:
    """The state of one answer.

    Args:
        request: What the user asks.
        abilities: What is known of the endpoint; corrected here when it turns out wrong.
        budget: The retries that the whole model has left.
        model_id: For error messages.
        max_retries: How many requests in a row may fail without bringing anything.
        resume: Whether a broken answer is continued.
        restartable: Whether nobody has seen the text yet, so that starting over is allowed.
        asks_for_ids: Whether the first request asks for token ids, where the endpoint has them.
        wait: How long to wait between requests.
        limit: The calls that may be in flight; it is told when the endpoint refuses a request.
        observer: Is told what happens.
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
    ) -> None:
        self.request = request
        self.observer = observer or Observer()
        self.received = Received()
        self.retries = 0
        self.resumes = 0
        self.restarts = 0
        self.closed = False
        """The reader has left: what follows from closing the connection is no break."""
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
        self._spent: list[ChunkUsage] = []
        self.tail = Arrival(joined=True)
        """Chunks that follow from the end of the answer, not from bytes."""
        self._choices = request.options.get("n") or 1
        self._attempt = Attempt("fresh", request)
        self._begin(self._attempt)

    # -- one request ---------------------------------------------------------------------------------------------

    def first(self) -> Attempt | None:
        """The first request; None if there is nothing left to ask for."""
        if self._break is not None:
            return self._next(self._break, 0.0)
        wanted = self._asks_for_ids and self._resume == "auto"
        if wanted and self._abilities.token_ids and self.request.allows_token_ids:
            self._begin(Attempt("fresh", self.request.asking_for_token_ids()))
        return self._attempt

    def sending(self) -> None:
        """Note that the request of the last attempt is about to be sent."""
        if (kind := self._attempt.kind) != "probe":
            self.observer.sent(kind)

    def _began(self) -> None:
        self.observer.first_event()

    def begin_with(self, text: str, tokens: int) -> None:
        """Go on from what an earlier run of this request has brought: `text`, in `tokens` events."""
        self.received.content.append(text)
        self.received.phase = "content"
        self.received.events = tokens
        self._spent.append(ChunkUsage(0, tokens))
        self._break = stream_cut(model_id=self._model_id, why="an earlier run ended in the middle of the answer")

    # -- its end -------------------------------------------------------------------------------------------------

    def ended(self, error: ModelError | None) -> Attempt | None:
        """Note that a request has ended, by itself (None) or by a failure, and say what to send next.

        Returns:
            The next step, or None: the answer is whole.

        Raises:
            ModelError: The answer is not whole and nothing can be done about it.
        """
        if self.closed:
            return None
        reading = self.reader
        self._handed_out = self._handed_out or reading.events > 0
        if reading.whole and (error is not None or self._usage_agrees()):
            self._budget.success()
            return None
        if error is None:
            error = self._what_was_wrong()
        self.observer.broke_off(error)
        if self._limit is not None and not reading.events and is_overload(error):
            self._limit.refused()
        self._spend()
        if not error.partial:
            error.partial = self.received.text
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

    @property
    def further(self) -> bool:
        """Whether the request to come is not the first of this answer."""
        return bool(self.retries or self.resumes)

    def usage(self) -> tuple[ChunkUsage | None, bool]:
        """What all requests together spent, and whether a part of it is estimated."""
        last = self.received.usage
        if not self._spent:
            return last, False
        parts = [*self._spent, last or self._estimate()]
        # A request that broke off reports nothing; its prompt was that of the first one, or longer.
        known = last.prompt_tokens - sum(part.completion_tokens for part in self._spent) if last else 0
        for part in parts:
            part.prompt_tokens = part.prompt_tokens or max(0, known)
        total = ChunkUsage(sum(p.prompt_tokens for p in parts), sum(p.completion_tokens for p in parts))
        if last is not None:
            total.prompt_tokens_details = last.prompt_tokens_details
            total.completion_tokens_details = last.completion_tokens_details
        return total, True

    def evidence(self) -> tuple[str, ...]:
        """What the server sent that shows the answer to be whole."""
        usage = ("usage",) if self.received.usage is not None else ()
        return (
            ("max_tokens",) if self._inferred else ("finish_reason", *usage, *(("[DONE]",) if self.reader.done else ()))
        )

    # -- decisions -----------------------------------------------------------------------------------------------

    def _begin(self, step: Attempt) -> None:
        self._attempt = step
        self.reader = ResponseReader(self.received, self._abilities, self._model_id, self._choices, self._began)
        self.received.begin()
        self._start_tokens = self.received.tokens

    def _may_retry(self, error: ModelError) -> bool:
        if isinstance(error, ModelTimeoutError) and error.phase == "total":
            return False
        progress = self.received.tokens > self._start_tokens
        if not is_transient(error) and not (progress and isinstance(error, (ModelTimeoutError, ResponseFormatError))):
            return False
        # An answer that grows with every request may go on as long as it does: a proxy that cuts each connection after
        # 100 s does not make a long answer impossible.
        if self.received.tokens - self._start_tokens >= _PROGRESS:
            self._fruitless = 0
            return True
        self._fruitless += 1
        return self._budget.allows(error) and self._fruitless <= self._max_retries

    def _next(self, error: ModelError, delay: float) -> Attempt | None:
        received = self.received
        if not received.anything:
            self.retries += 1
            self.observer.retried(error, delay=delay, dropped=0)
            step = self._send(Attempt("fresh", self._attempt.request, delay), error)
            if self._handed_out:
                # The reader has the opening chunk already.
                self.reader.splice = Splice("")
            return step
        received.finish_reasons.clear()
        if self._resume == "auto" and self.request.spliceable and not received.unspliceable and not self._lossy:
            if self._exhausted():
                return None
            if self._can_use_tokens():
                assert received.prompt_token_ids is not None
                request = self.request.after_tokens(received.prompt_token_ids, received.token_ids)
                return self._continue(Attempt("tokens", request, delay), Splice(""), error)
            if self._abilities.kind == "unknown" and not self._abilities.probed:
                self._abilities.probed = True
                return Attempt("probe", self.request, delay)
            message = received.partial_message()
            partial = message.rstrip()
            # An endpoint nobody knows may begin anew in other words, which nothing could tell from a continuation.
            if self._abilities.continues and "continue" not in self._given_up:
                said = "".join(received.reasoning) if received.phase == "reasoning" else received.text
                splice = Splice(said, message[len(partial) :], verify=True)
                if not partial:
                    return self._continue(Attempt("fresh", self.request, delay), splice, error)
                closed = bool(received.reasoning) and received.phase == "content"
                request = self.request.continuing(partial, received.tokens, closed_thought=closed)
                return self._continue(Attempt("continue", request, delay), splice, error)
        if self._restartable and self._resume == "auto" and self.restarts < self._max_retries:
            self.restarts += 1
            self.retries += 1
            self.observer.retried(error, delay=delay, dropped=len(received.text) + len("".join(received.reasoning)))
            self.received = Received()
            return self._send(Attempt("fresh", self.request, delay), error)
        raise self._final(error)

    def _continue(self, step: Attempt, splice: Splice, error: ModelError) -> Attempt:
        self.resumes += 1
        how: Literal["tokens", "continue"] = "tokens" if step.kind == "tokens" else "continue"
        self.observer.resumed(error, how=how, tokens=self.received.tokens, delay=step.delay)
        self._send(step, error)
        self.reader.splice = splice
        return step

    def _send(self, step: Attempt, error: ModelError) -> Attempt:
        log.info(
            "sending again",
            step=step.kind,
            model=self._model_id,
            delay=round(step.delay, 3),
            tokens=self.received.tokens,
            error=type(error).__name__,
        )
        self._begin(step)
        return step

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

    def _can_use_tokens(self) -> bool:
        # The text endpoint has no reasoning parser: inside a thought it would not find its end.
        received = self.received
        return (
            self._abilities.token_ids
            and "tokens" not in self._given_up
            and received.exact_tokens
            and received.phase == "content"
            and self.request.allows_token_ids
        )

    def _exhausted(self) -> bool:
        """Finish an answer of which only the finish reason is missing: it has all the tokens that were asked for."""
        limit = self.request.max_tokens
        # Only where events are counted in tokens: a gateway may send a letter in each.
        counted = self.received.exact_tokens or self._abilities.kind == "llama.cpp"
        if limit is None or not counted or self.received.tokens < limit:
            return False
        chunk = Chunk(choices=[ChunkChoice(delta=ChunkDelta(), finish_reason="length")])
        self.received.note(chunk)
        self.tail.chunks.append(chunk)
        self.tail.data.append(b"{}")
        self._inferred = True
        return True

    def _refuse(self, kind: str, error: ModelError) -> None:
        """Do without this way of continuing: for this answer, and for good if it was a guess that proved wrong."""
        self._given_up.add(kind)
        if kind == "tokens" and isinstance(error, ModelStatusError) and error.status_code in (404, 405):
            self._abilities.token_ids = False
        if kind == "continue" and isinstance(error.__cause__, StartedOverError):
            self._abilities.continues = False

    def _usage_agrees(self) -> bool:
        """Whether all tokens that the server counts have arrived, as far as token ids can tell."""
        usage, received = self.received.usage, self.received
        if usage is None or self.reader.splice is not None or self._choices > 1 or not received.exact_tokens:
            return True
        # One more may be the end of the message.
        return len(received.token_ids) >= usage.completion_tokens - 1

    def _what_was_wrong(self) -> ModelError:
        if not self.reader.is_stream:
            return unreadable(self.reader.head, model_id=self._model_id)
        if not self.reader.events and self.reader.head and not _may_be_events(self.reader.head):
            return unreadable(self.reader.head, model_id=self._model_id)
        if self.reader.whole and self.received.usage is not None:
            self._lossy = True
            counted, arrived = self.received.usage.completion_tokens, len(self.received.token_ids)
            return stream_cut(model_id=self._model_id, why=f"the server counts {counted} tokens, {arrived} arrived")
        return stream_cut(model_id=self._model_id)

    def _final(self, error: ModelError) -> ModelError:
        if isinstance(error, (ModelTimeoutError, ResponseFormatError)) or not self.received.anything:
            return error
        if isinstance(error, ModelStatusError) and error.status_code < 500:
            return error
        return interrupted(error, model_id=self._model_id, partial=self.received.text)

    def _estimate(self) -> ChunkUsage:
        received = self.received
        return ChunkUsage(len(received.prompt_token_ids or ()), max(0, received.tokens - self._start_tokens))

    def _spend(self) -> None:
        if self.reader.events:
            self._spent.append(self.received.usage or self._estimate())
            self.received.usage = None


def _may_be_events(head: bytes) -> bool:
    """Whether a body that ended before its first event began like a stream of events."""
    return any(head.startswith(field[: len(head)]) for field in (b"data:", b":", b"event:", b"id:", b"retry:"))


def _refused(error: ModelError) -> bool:
    return isinstance(error, ModelStatusError) and error.status_code in (400, 404, 405, 422)
