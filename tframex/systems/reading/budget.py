"""How the window of a model is shared out: decided once, and again when something is learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from tframex.errors import ChunkingError

__all__ = ["NOTES_SHARE", "Budget"]

NOTES_SHARE = 8
"""The part of the window that notes take where nothing is said about how long they may be."""
_DEFAULT_ANSWER = 1024
_DEFAULT_WINDOW = 8192
# A thought longer than this, where no window bounds it, is taken for one without an end.
_LONGEST_THOUGHT = 32_768


@dataclass(frozen=True)
class Budget:
    """What every call of a run may take, in tokens. It never changes: what is learned makes another one.

    Attributes:
        number: Which budget of the run it is, from 0.
        reading: The window of the worker, or None if unknown.
        answering: The window of the manager, or None if unknown.
        notes: What is carried on.
        answer: What the answer may have.
        thinking: What the worker may think before it writes, beside that.
    """

    number: int
    reading: int | None
    answering: int | None
    notes: int
    answer: int
    thinking: int = 0

    @classmethod
    def first(
        cls,
        reading: int | None,
        answering: int | None,
        *,
        notes: int | None,
        writing: int | None,
        answer: int | None,
    ) -> Budget:
        """The budget with which a run begins.

        Args:
            reading: The window of the worker.
            answering: The window of the manager.
            notes: The most tokens of the notes, if that was asked for.
            writing: Tokens that an answer of the worker may have, as far as known.
            answer: The same of the manager.
        """
        smallest = min(reading or _DEFAULT_WINDOW, answering or _DEFAULT_WINDOW)
        share = notes or min(writing or _DEFAULT_ANSWER, smallest // NOTES_SHARE)
        if reading is not None or answering is not None:
            # Two notes and what is written about them must fit into one request.
            share = max(1, min(share, smallest // 4))
        return cls(0, reading, answering, share, answer or _DEFAULT_ANSWER)

    @property
    def slack(self) -> int:
        """What a worker may write beyond its share: notes that run over are condensed, not cut off."""
        return self.notes // 4

    @property
    def writing(self) -> int:
        """`max_tokens` of a worker's call: its notes, a little more, and its thoughts."""
        return self.notes + self.slack + self.thinking

    def with_answer(self, fixed: int, *, asked: bool) -> Budget:
        """The same with an answer that fits.

        Args:
            fixed: Tokens of the manager's prompt without notes.
            asked: The length of the answer was asked for: it is not shortened.

        Raises:
            ChunkingError: There is no room for it.
        """
        if self.answering is None:
            return self
        left = self.answering - fixed - self.notes
        if left < 1 or (asked and self.answer > left):
            raise ChunkingError(
                f"the task ({fixed} tokens), the notes ({self.notes}) and the answer ({self.answer}) leave no room for the "
                f"text in a window of {self.answering} tokens; lower max_tokens or shorten the task"
            )
        return replace(self, answer=min(self.answer, left))

    def with_window(self, window: int) -> Budget:
        """What follows from a window that a refusal has told; the same if it was known."""
        if self.reading is not None:
            return self
        notes = max(1, min(self.notes, window // NOTES_SHARE))
        return replace(
            self,
            number=self.number + 1,
            reading=window,
            answering=window,
            notes=notes,
            answer=min(self.answer, window // 2),
            thinking=min(self.thinking, window // 2),
        )

    def with_thinking(self, tokens: int) -> Budget:
        """What follows from a thought of `tokens` tokens, half of the window at most; the same if that was known."""
        tokens = min(tokens, _LONGEST_THOUGHT if self.reading is None else self.reading // 2)
        return self if tokens <= self.thinking else replace(self, number=self.number + 1, thinking=tokens)

    def to_json(self) -> dict[str, Any]:
        """For a journal."""
        return asdict(self)
