"""A call that is written down while its answer arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tframex._types import Messages
from tframex.completion import Completion
from tframex.model import BaseModel, PartialAnswer

__all__ = ["RecordedCall", "Recorder"]


class Recorder:
    """Where an answer is written down while it arrives. This one writes nothing; a journal and a file are others."""

    def open(self) -> None:
        """The call's turn has come."""

    def add(self, text: str) -> bool:
        """Take a piece of the text; True asks for a `save` before the next one."""
        return False

    def clear(self) -> None:
        """The answer starts over."""

    async def save(self, call: RecordedCall) -> None:
        """Write down what has arrived."""

    async def finish(self, call: RecordedCall, completion: Completion) -> None:
        """Write down the complete answer."""

    def close(self, error: BaseException | None) -> None:
        """The call is over: complete, failed with an error, or cancelled."""


@dataclass
class RecordedCall:
    """One call of a model.

    Attributes:
        step: Which step of the run it is.
        kind: What it is for.
        model: The model that is asked.
        messages: What is asked.
        options: Options for the model.
        partial: What an earlier run, or an earlier attempt of this one, has received of the answer.
        restart: An answer that breaks off and cannot be continued may start over: its text is not shown to the caller
            before it is complete.
        shown: The text is shown while it arrives: it is read at every token.
        fitted: The options are known to fit the window; else that is looked after first.
        recorder: Where the answer is written down.
        pieces: The pieces of the text that have arrived.
        count: How many tokens they are.
        started: Seconds after the beginning of the run when its turn came, or None.
    """

    step: str
    kind: str
    model: BaseModel
    messages: Messages
    options: dict[str, Any]
    partial: PartialAnswer | None = None
    restart: bool = True
    shown: bool = False
    fitted: bool = False
    recorder: Recorder = field(default_factory=Recorder)
    pieces: list[str] = field(default_factory=list)
    count: int = 0
    started: float | None = None

    @property
    def text(self) -> str:
        """What has arrived of the answer."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """How many events of the stream that took."""
        partial = self.partial
        continued = partial is not None and self.pieces[:1] == [partial.text]
        return self.count + (partial.tokens - 1 if partial is not None and continued else 0)

    def forget(self) -> None:
        """Drop what has arrived."""
        self.pieces.clear()
        self.count = 0

    def received(self) -> PartialAnswer:
        """What has arrived, to be continued."""
        return PartialAnswer(self.text, self.tokens)
