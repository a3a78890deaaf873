"""What an exchange reports while it happens, for events, hooks and telemetry."""

from __future__ import annotations

from typing import Literal

from tframex.errors import ModelError

__all__ = ["Observer"]


class Observer:
    """Does nothing; override the methods that you need.

    Every method is called on the thread and in the task of the call, must return quickly and must not raise. Each is called
    at most once for each request, and none for each chunk.
    """

    def sent(self, kind: Literal["fresh", "tokens", "continue"]) -> None:
        """A request is about to be sent."""

    def first_event(self) -> None:
        """The first event of a response has arrived."""

    def broke_off(self, error: ModelError) -> None:
        """A request has failed, or its answer has broken off; what to do next is not decided yet."""

    def retried(self, error: ModelError, *, delay: float, dropped: int) -> None:
        """A request will be sent again from the start.

        Args:
            error: Why.
            delay: Seconds until then.
            dropped: Characters that had arrived and are asked for again.
        """

    def resumed(self, error: ModelError, *, how: Literal["tokens", "continue"], tokens: int, delay: float) -> None:
        """An answer will be continued where it broke off.

        Args:
            error: What broke it.
            how: From exactly these tokens, or from the text with `continue_final_message`.
            tokens: How many tokens had arrived and are kept.
            delay: Seconds until then.
        """

    def ended(self, error: BaseException | None) -> None:
        """The call is over.

        Args:
            error: None: the answer is complete. A `TFrameXError`: it failed. Any other: the reader left before the end.
        """
