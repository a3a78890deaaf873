"""What a model can do besides answering: count, fit, continue, take schemas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, cast

from tframex._types import Messages
from tframex.completion import Completion, Delta
from tframex.exchange import OutputLadder
from tframex.model._fit import answer_tokens, fitted
from tframex.model._identity import shaping
from tframex.model.counter import EndpointCounter
from tframex.servers import UNKNOWN, ServerKind
from tframex.tasks import AdaptiveLimit

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["Abilities"]


class Abilities:
    """The part of `BaseModel` that systems and typed calls use.

    For a model that overrides it, no prompt exceeds the window, and a run with a checkpoint resumes inside an answer.
    """

    model_id: str
    context_window: int | None = None
    default_max_tokens: int | None = None
    max_concurrency: int | None = None
    _counter: EndpointCounter | None = None
    _limit: AdaptiveLimit | None = None

    @property
    def counter(self) -> EndpointCounter:
        """Counts tokens for this model."""
        if self._counter is None:
            self._counter = EndpointCounter(_model(self))
        return self._counter

    @property
    def limit(self) -> AdaptiveLimit:
        """Limits the calls in flight: of all systems that use this model, and (for a `VLLMModel`) every other call.

        Systems make as many calls as the server turns out to take. Other calls only wait when `max_concurrency` are in
        flight, of either kind. A call made in a task that holds a place uses that place.
        """
        if self._limit is None:
            self._limit = AdaptiveLimit(self.max_concurrency)
        return self._limit

    async def window(self) -> int | None:
        """Tokens that prompt and answer may have together; None if that is unknown."""
        return self.context_window

    def note_window(self, window: int) -> None:
        """Learn the window from the refusal of a prompt that was too long.

        Args:
            window: Tokens that prompt and answer may have together.
        """

    async def count_tokens(self, what: str | Messages) -> int | None:
        """Tokens of a text or a conversation, counted by the model's server; None if it does not count.

        Args:
            what: A text, or a conversation with what the chat template adds to it.

        Raises:
            ModelError: The endpoint could not be asked now.
        """
        return None

    async def fit(self, messages: Messages, options: dict[str, Any]) -> dict[str, Any]:
        """The options with which a request fits the window: an answer that would exceed it gets what is left of it.

        Args:
            messages: The conversation.
            options: The options of the call; they are not changed.

        Raises:
            ContextLengthError: The prompt alone does not fit; nothing was sent.
            ModelConnectionError: The endpoint could not be asked for its window.
        """
        return await fitted(_model(self), messages, options)

    def answer_tokens(self, options: dict[str, Any]) -> int | None:
        """How many tokens the answer to a request with these options may have; None: the endpoint decides.

        Args:
            options: The options of the call.
        """
        return answer_tokens(_model(self), options)

    def shaping(self, options: dict[str, Any]) -> dict[str, Any]:
        """What shapes the answers to requests with these options, apart from their messages.

        Checkpoints identify a call by it: the model, the options and, where an option is not given, the model's own
        setting; not the time limits, the retries or the headers. Override it for a model with further settings.

        Args:
            options: The options of the call; they are not changed.
        """
        return shaping({"model": self.model_id, "max_tokens": self.default_max_tokens, **options})

    async def continues(self, options: dict[str, Any]) -> bool:
        """Whether `stream_after` can continue a partial answer to a request with these options.

        Args:
            options: The options of the call.
        """
        return False

    def stream_after(
        self, messages: Messages, partial: str, tokens: int, **options: Any
    ) -> AsyncIterator[Delta | Completion]:
        """Like `stream`, for an answer whose beginning, `partial`, an earlier run has received; it is the first piece.

        Args:
            messages: The conversation.
            partial: The beginning of the answer.
            tokens: How many tokens (events of the stream) it took.
            **options: The options of the call.

        Raises:
            StreamInterruptedError: The model did not continue it.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot continue a partial answer")

    async def close_client(self) -> None:
        """Release what the model holds, such as connections. It can be used again afterwards."""

    async def _outputs(self, options: dict[str, Any]) -> tuple[OutputLadder, Callable[[], ServerKind]]:
        """How the endpoint takes schemas, and which kind it is, as far as is known when that is called."""
        return OutputLadder({"response_format", "json_object"}), lambda: UNKNOWN

    def _total_timeout(self, options: dict[str, Any]) -> float | None:
        """Seconds for a call with these options; None: it does not limit that."""
        return None


def _model(abilities: Abilities) -> BaseModel:
    return cast("BaseModel", abilities)
