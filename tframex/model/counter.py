"""Counting with the served model's own tokenizer."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tframex._logging import get_logger
from tframex._types import Message, Messages
from tframex.errors import ModelError
from tframex.tokens import TokenCounter, default_counter, text_of

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["EndpointCounter", "written"]

# What a chat template may add at most: around each message, and around them all (such as a default system prompt).
_PER_MESSAGE = 16
_PER_CHAT = 64
_DIGIT = re.compile(r"\d")
# Added to what was seen: texts differ from one part to the next.
_MARGIN = 1.12
# JSON takes 1.5 times as many tokens in a Qwen vocabulary as in cl100k.
_UNKNOWN = 1.6
_REMEMBERED = 16
# After this many failures in a row the endpoint is not asked any more.
_PATIENCE = 3

log = get_logger("tframex.model")


class EndpointCounter:
    """Counts tokens as the served model does, and asks the endpoint only where an estimate is not enough.

    vLLM and llama.cpp count texts and conversations; `measure` asks them. For other endpoints, and between two requests,
    counts are estimated: with the `estimate` counter, corrected by what the endpoint has counted so far.

    It is a `TokenCounter`: `count` and `count_messages` return the estimate without a request.

    Args:
        model: The model.
        estimate: What the estimate starts from; the default uses cl100k.

    Attributes:
        requests: How many times the endpoint was asked to count.
    """

    def __init__(self, model: BaseModel, *, estimate: TokenCounter | None = None) -> None:
        self._model = model
        self._base = estimate
        self._ratios: deque[float] = deque(maxlen=_REMEMBERED)
        self._counts: dict[str, int] = {}
        self._counts_exactly: bool | None = None
        self._silent = False
        self._failures = 0
        self.requests = 0

    @property
    def exact(self) -> bool:
        """Whether `measure` is known to return the served model's own counts."""
        return bool(self._counts_exactly)

    @property
    def ratio(self) -> float:
        """Tokens of the served model for each token of the estimate, as seen last; 1.0 before anything was counted."""
        return self._ratios[-1] if self._ratios else 1.0

    @property
    def knows(self) -> bool:
        """Whether the endpoint has counted anything yet, so that estimates are more than a guess."""
        return bool(self._ratios)

    def count(self, text: str) -> int:
        """About how many tokens `text` has."""
        return math.ceil(self._estimator().count(text) * self.ratio)

    def count_messages(self, messages: Messages) -> int:
        """About how many tokens a conversation has, including what the chat template adds."""
        return math.ceil(self._estimator().count_messages(messages) * self.ratio)

    def bound(self, messages: Messages) -> int:
        """A number of tokens that a conversation hardly ever exceeds.

        Before the first answer, and where `measure` counts exactly or has not been asked yet: its bytes, the most tokens
        that a byte-level tokenizer can make of a text. Afterwards an estimate with the highest ratio that was seen lately
        and a margin (if the answer reported no usage, with a ratio that no common vocabulary exceeds); each digit counts as
        one token, since other vocabularies do not group them.
        """
        texts = [text_of(message) for message in messages]
        most = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + _PER_CHAT + _PER_MESSAGE * len(texts)
        digits = sum(len(_DIGIT.findall(text)) for text in texts)
        if self._counts_exactly is not False or (not self._ratios and not self._silent):
            return most
        ratio = max(self._ratios) * _MARGIN if self._ratios else _UNKNOWN
        return min(most, math.ceil(self._estimator().count_messages(messages) * ratio + digits * 2 / 3))

    async def measure(self, messages: Messages, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """How many tokens a conversation has: exactly if the endpoint counts for us, else `bound`.

        Args:
            messages: The conversation.
            tools: The definitions of tools that are sent with it.
        """
        asked = repr((messages, tools)) if tools else repr(messages)
        everything = [*messages, *written(tools)]
        if asked in self._counts:
            return self._counts[asked]
        counted = None
        if self._counts_exactly is not False:
            try:
                counted = await self._counted(messages, tools)
            except ModelError as error:
                # A server that is busy for a moment must not end a long run: an estimate is enough this time.
                log.info("not counted", model=self._model.model_id, error=str(error))
                self._failures += 1
                if self._failures == _PATIENCE:
                    self._counts_exactly = False
                return self.bound(everything)
            self._failures = 0
            self._counts_exactly = counted is not None
            self.requests += counted is not None
        if counted is None:
            return self.bound(everything)
        self.observe(everything, counted)
        if len(self._counts) >= _REMEMBERED:
            self._counts.pop(next(iter(self._counts)))
        self._counts[asked] = counted
        return counted

    async def _counted(self, messages: Messages, tools: Sequence[Mapping[str, Any]]) -> int | None:
        count: Any = self._model.count_tokens
        if tools and "tools" in inspect.signature(count).parameters:
            counted: int | None = await count(messages, tools=tools)
            return counted
        # A model that counts only messages gets the definitions as one.
        return await self._model.count_tokens([*messages, *written(tools)])

    async def measure_text(self, text: str) -> int:
        """How many tokens a text has: exactly if the endpoint counts for us, else an estimate."""
        counted = None
        if self._counts_exactly is not False:
            with suppress(ModelError):
                counted = await self._model.count_tokens(text)
            self.requests += counted is not None
        return self.count(text) if counted is None else counted

    def observe(self, messages: Messages, tokens: int | None) -> None:
        """Learn from what the endpoint has counted: the `prompt_tokens` of an answer's usage, or None if not reported."""
        if not tokens:
            self._silent = True
            return
        estimated = self._estimator().count_messages(messages)
        if estimated > 0:
            self._ratios.append(tokens / estimated)

    def state(self) -> list[float]:
        """What it has learned, as a JSON value for `restore`."""
        return list(self._ratios)

    def restore(self, state: list[float]) -> None:
        """Take over what a counter had learned.

        Args:
            state: What its `state` returned.
        """
        self._ratios.clear()
        self._ratios.extend(state)

    def _estimator(self) -> TokenCounter:
        if self._base is None:
            self._base = default_counter()
        return self._base

    def __repr__(self) -> str:
        return f"EndpointCounter({self._model.model_id!r}, exact={self.exact}, requests={self.requests})"


def written(tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The definitions of tools as a message of about the size that they have in a prompt; none for no tools."""
    return [{"role": "system", "content": json.dumps(tools, ensure_ascii=False)}] if tools else []
