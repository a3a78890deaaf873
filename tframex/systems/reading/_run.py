"""The numbers and options of one run on a long text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tframex._types import Message
from tframex.chunking import chunk_text
from tframex.model.base import BaseModel
from tframex.systems.reading._fitting import Fitting
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.tokens import TokenCounter

__all__ = ["NOTES_SHARE", "ReadingPlan", "beginning", "user"]

NOTES_SHARE = 8
"""The part of the window that notes take where nobody has said how long they may be."""


@dataclass
class ReadingPlan:
    """What one run works with.

    Attributes:
        task: The task.
        text: The text.
        worker: Who reads.
        prompts: What is asked.
        counter: What counts parts.
        notes: Tokens of notes that are carried on.
        writing: Tokens that a worker may write.
        answer: Tokens that the answer may have.
        worker_options: Options for the worker's calls.
        manager_options: Options for the manager's.
        reading: Fits parts of the text into the worker's requests.
        answering: Fits into the manager's.
    """

    task: str
    text: str
    worker: BaseModel
    prompts: LongTextPrompts
    counter: TokenCounter
    notes: int
    writing: int
    answer: int
    worker_options: dict[str, Any]
    manager_options: dict[str, Any]
    reading: Fitting
    answering: Fitting

    def learn_window(self, window: int) -> None:
        """Make do with a window that was learned from the endpoint's refusal."""
        self.reading.window = self.answering.window = window
        self.notes = max(1, min(self.notes, window // NOTES_SHARE))
        self.writing = self.notes + self.notes // 4
        self.worker_options["max_tokens"] = self.writing
        self.answer = min(self.answer, window // 2)
        if isinstance(self.manager_options.get("max_tokens"), int):
            self.manager_options["max_tokens"] = self.answer


def user(prompt: str) -> list[Message]:
    """A conversation that consists of a prompt."""
    return [{"role": "user", "content": prompt}]


def beginning(text: str, tokens: int, counter: TokenCounter) -> str:
    """As much of a text as the tokens allow."""
    return text if counter.count(text) <= tokens else chunk_text(text, tokens, counter=counter)[0].text
