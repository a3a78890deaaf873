"""The results of many calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from tframex.completion import Completion, Usage
from tframex.errors import PartialFailureError
from tframex.systems._stopped import stopped

__all__ = ["BestOf", "Sample", "Samples", "Vote"]


@dataclass(frozen=True)
class Sample:
    """One of many calls.

    Attributes:
        index: Its number, from 1.
        completion: The answer, or None if there is none.
        error: Why there is no answer, or no file of it; None if there is one.
        path: The file of the answer, if it was written to one.
        partial: What had arrived of an answer that failed or was cancelled.
        started: Seconds after the beginning of the run when it was sent.
        seconds: How long it took.
        cancelled: It was stopped because its answer was no longer needed.
    """

    index: int
    completion: Completion | None = None
    error: Exception | None = None
    path: Path | None = None
    partial: str = ""
    started: float = 0.0
    seconds: float = 0.0
    cancelled: bool = False

    @property
    def text(self) -> str:
        """The answer, or what there is of it."""
        return self.partial if self.completion is None else self.completion.text

    @property
    def output(self) -> Any:
        """With `output_type`: the value of the answer; None if there is none."""
        return None if self.completion is None else self.completion.output

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended: `"stop"`, `"length"`, ... None if there is none, or the model does not say."""
        return None if self.completion is None else self.completion.finish_reason

    @property
    def truncated(self) -> bool:
        """Whether the answer ended before the model was done with it: at `max_tokens`, say."""
        return self.completion is not None and self.completion.truncated

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before the answer is used, as text; empty if there is nothing."""
        return () if self.completion is None else self.completion.warnings

    @property
    def ok(self) -> bool:
        """Whether there is an answer and, if it was to be, in its file. It may be `truncated`."""
        return self.completion is not None and self.error is None


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """The calls of one run, in order.

    Attributes:
        samples: The calls.
        seconds: How long all of them took together.
        peak: The most calls that were in flight at the same time.
        refusals: How often the server refused a request because it had too many; each was sent again.
    """

    samples: tuple[Sample, ...]
    seconds: float = 0.0
    peak: int = 0
    refusals: int = 0

    @property
    def texts(self) -> list[str]:
        """The answers; some may be `truncated`."""
        return [sample.text for sample in self.samples if sample.completion is not None]

    @property
    def outputs(self) -> list[Any]:
        """With `output_type`: the values of the answers."""
        return [sample.completion.output for sample in self.samples if sample.completion is not None]

    @property
    def failed(self) -> list[Sample]:
        """The calls that failed."""
        return [sample for sample in self.samples if sample.error is not None]

    @property
    def truncated(self) -> list[Sample]:
        """The calls whose answers ended before the model was done with them."""
        return [sample for sample in self.samples if sample.truncated]

    @property
    def usage(self) -> Usage:
        """Tokens of all answers together, as far as the server reported them."""
        parts = [sample.completion.usage for sample in self.samples if sample.completion and sample.completion.usage]
        return Usage(
            prompt_tokens=sum(part.prompt_tokens for part in parts),
            completion_tokens=sum(part.completion_tokens for part in parts),
            estimated=any(part.estimated for part in parts),
        )

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated in a second, over the run."""
        return self.usage.completion_tokens / self.seconds if self.seconds else 0.0

    @property
    def calls_per_second(self) -> float:
        """Answers in a second, over the run."""
        return len(self.texts) / self.seconds if self.seconds else 0.0

    def raise_for_errors(self) -> None:
        """Raise if a call failed.

        Raises:
            PartialFailureError: With all answers in `results`, and what failed in `errors`.
        """
        if self.failed:
            raise PartialFailureError(
                f"{len(self.failed)} of {len(self.samples)} calls failed; the first with: {self.failed[0].error}",
                results=self._results,
                errors=self._errors,
            )

    def stopped(self, error: BaseException) -> BaseException:
        """What is raised where a progress callback has raised `error`: with what has been paid for."""
        return stopped(error, "answers", self._results, self._errors)

    def unusable(self, what: str, errors: Mapping[int, Exception], truncated: str) -> PartialFailureError:
        """What is raised where no answer can be used, with all of them.

        Args:
            what: What none of them did.
            errors: Why, for some of them.
            truncated: What happened to those that were cut off, if anything.
        """
        reasons = {**self._errors, **{f"call_{index}": error for index, error in errors.items()}}
        first = next(iter(reasons.values()), None)
        why = f"; the first failed with: {first}" if first is not None else ""
        if truncated and (cut := self.truncated):
            why += (
                f"; {len(cut)} {truncated}, since they were cut off: {cut[0].warnings[0]}, or pass allow_truncated=True"
            )
        return PartialFailureError(
            f"none of {len(self.samples)} answers {what}{why}", results=self._results, errors=reasons
        )

    @property
    def _results(self) -> dict[str, str]:
        return {f"call_{sample.index}": sample.text for sample in self.samples if sample.completion is not None}

    @property
    def _errors(self) -> dict[str, Exception]:
        return {f"call_{sample.index}": sample.error for sample in self.failed if sample.error is not None}

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return self.samples[index]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


@dataclass(frozen=True)
class Vote:
    """What most answers say.

    Attributes:
        answer: What won, as the key named it.
        text: The first answer that says so.
        counts: How many answers said what, the most frequent first.
        confidence: How probable it is that the votes still missing would not have changed the winner.
        samples: All calls; those that were no longer needed are `cancelled`, and those never sent are not among them.
            `samples.truncated` are those that were cut off; they have no vote, unless `allow_truncated` was given.
        output: With `output_type`: the value that won.
    """

    answer: str
    text: str
    counts: dict[str, int]
    confidence: float
    samples: Samples
    output: Any = None


@dataclass(frozen=True)
class BestOf:
    """The answer that was judged best.

    Attributes:
        sample: The best one.
        scores: The score of each call by its number; those without an answer or a score are missing.
        samples: All calls. `samples.truncated` are those that were cut off; they are not judged, unless `allow_truncated`
            was given.
        errors: Why the judge gave no score, by number.
    """

    sample: Sample
    scores: dict[int, float]
    samples: Samples
    errors: dict[int, Exception] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The best answer."""
        return self.sample.text
