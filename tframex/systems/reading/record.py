"""What a run on a long text returns, with every step it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tframex.completion import Timings, Usage
from tframex.systems.reading.sources import Source

__all__ = ["LongTextResult", "Step"]


@dataclass(frozen=True)
class Step:
    """One model call.

    Attributes:
        kind: What it was for: `"chunk"`, `"condense"`, `"collapse"`, `"answer"` or `"judge"`.
        path: Which reading it belongs to, from 0.
        start: Where in the text the part it read begins, in characters; 0 if it read notes.
        end: Where that part ends; 0 if it read notes.
        text: What the model wrote, without its thoughts.
        prompt_tokens: Tokens of the prompt, as the server counted them or, if it did not, as estimated.
        max_tokens: Tokens the answer might have.
        usage: Tokens spent, or None if the endpoint does not report them.
        timings: How long it took.
        from_checkpoint: It was not asked again, since an earlier run had finished it.
        finish_reason: Why it ended: `"stop"`, `"length"` (cut off at `max_tokens`), ...; None if the model does not say.
        thinking: Tokens of the thought before the text, as far as known.
        warnings: What is wrong with it: that it was cut off, say.
    """

    kind: str
    path: int
    start: int
    end: int
    text: str
    prompt_tokens: int
    max_tokens: int
    usage: Usage | None = None
    timings: Timings = field(default_factory=lambda: Timings(None, 0.0))
    from_checkpoint: bool = False
    finish_reason: str | None = None
    thinking: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether it was cut off at `max_tokens`."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class LongTextResult:
    """A run on a long text.

    Attributes:
        text: The answer.
        steps: Every model call, in the order in which they ended.
        answers: With several paths, the answer of each.
        sources: Where in the text the sentences of the answer come from, as far as they can be found there.
        counting_requests: How many times the endpoint was asked to count tokens.
        context_window: Tokens that prompt and answer of a step might have together, or None if unknown.
        finish_reason: Why the answer ended; `"length"`: it was cut off at `max_tokens`.
        warnings: What is wrong with the answer or a step before it, as text; empty if nothing is.
        output: With `output_type`: the value of the answer.
    """

    text: str
    steps: tuple[Step, ...]
    answers: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    counting_requests: int = 0
    context_window: int | None = None
    finish_reason: str | None = None
    warnings: tuple[str, ...] = ()
    output: Any = None

    @property
    def usage(self) -> Usage:
        """Tokens spent by the calls of this run, without those of a checkpoint."""
        spent = [step.usage for step in self.steps if step.usage is not None and not step.from_checkpoint]
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in spent),
            completion_tokens=sum(usage.completion_tokens for usage in spent),
            cached_tokens=sum(usage.cached_tokens or 0 for usage in spent),
            estimated=any(usage.estimated for usage in spent),
        )

    def __str__(self) -> str:
        return self.text
