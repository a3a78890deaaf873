"""What one run on a long text works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tframex._types import Message
from tframex.chunking import chunk_text
from tframex.model import BaseModel, Output
from tframex.servers import GRAMMARS
from tframex.systems.reading._fitting import Fitting
from tframex.systems.reading._step_runner import StepRunner
from tframex.systems.reading.prompts import LongTextPrompts
from tframex.tokens import TokenCounter

__all__ = ["ReadingPlan", "beginning", "described", "user"]

# What shapes the answer does not shape the notes.
_ANSWER_ONLY = GRAMMARS | {
    "logprobs",
    "max_completion_tokens",
    "max_output_retries",
    "max_tokens",
    "n",
    "output_type",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "tool_choice",
    "tools",
    "top_logprobs",
}


@dataclass(frozen=True)
class ReadingPlan:
    """What one run works with. The budget, which changes during the run, belongs to the runner.

    Attributes:
        task: The task.
        text: The text.
        worker: Who reads.
        manager: Who answers.
        prompts: What is asked.
        counter: What counts parts.
        options: Options that the user has given.
        fitting: Fits parts of the text into the worker's requests.
        runner: Makes the steps.
    """

    task: str
    text: str
    worker: BaseModel
    manager: BaseModel
    prompts: LongTextPrompts
    counter: TokenCounter
    options: dict[str, Any]
    fitting: Fitting
    runner: StepRunner

    @property
    def output(self) -> Output[Any] | None:
        """The type of the answer, or None for text."""
        return output_of(self.options)

    def said(self, answer: str) -> str:
        """What equal answers have in common."""
        output = self.output
        return answer if output is None else output.key(output.parse(answer))

    @property
    def described(self) -> int:
        """About how many tokens the description of that type takes in a prompt."""
        return described(self.manager, self.options)

    @property
    def worker_options(self) -> dict[str, Any]:
        """Options for the worker's calls."""
        return {name: value for name, value in self.options.items() if name not in _ANSWER_ONLY}


def output_of(options: dict[str, Any]) -> Output[Any] | None:
    """The type of the answer, or None for text."""
    output_type = options.get("output_type")
    return None if output_type is None else Output.of(output_type)


def described(model: BaseModel, options: dict[str, Any]) -> int:
    """About how many tokens the description of the answer's type takes in a prompt."""
    output = output_of(options)
    return 0 if output is None else model.counter.count(output.instructions())


def user(prompt: str) -> list[Message]:
    """A conversation that consists of a prompt."""
    return [{"role": "user", "content": prompt}]


def beginning(text: str, tokens: int, counter: TokenCounter) -> str:
    """As much of a text as the tokens allow."""
    return text if counter.count(text) <= tokens else chunk_text(text, tokens, counter=counter)[0].text
