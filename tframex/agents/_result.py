"""The completion of a run that has called models in its own way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tframex.completion import Choice, Completion, Timings
from tframex.model import CallRecord, Output

__all__ = ["summed"]


def summed(found: Any, calls: CallRecord, model_id: str, seconds: float, output_type: Any) -> Completion:
    """The completion of a run that returned `found`; with the choices of the last call that answered this, if one did.

    Args:
        found: What it returned: a text, or a value of `output_type`.
        calls: The calls it made.
        model_id: Its model.
        seconds: How long it took.
        output_type: The type that was asked for, or None.

    Raises:
        OutputValidationError: It returned a text that is no value of the type.
    """
    completions = calls.completions
    if output_type is None:
        text = found
        last = next((completion for completion in reversed(completions) if completion.text == text), None)
    else:
        text, found, last = _typed(found, calls, Output.of(output_type))
    if last is not None and len(completions) == 1:
        return last if output_type is None else replace(last, output=found)
    return Completion(
        choices=(Choice(text),) if last is None else last.choices,
        model_id=model_id if last is None else last.model_id,
        usage=calls.usage,
        timings=Timings(seconds if text else None, seconds),
        retries=sum(completion.retries for completion in completions),
        resumes=sum(completion.resumes for completion in completions),
        evidence=() if last is None else last.evidence,
        output=None if output_type is None else found,
    )


def _typed(found: Any, calls: CallRecord, output: Output[Any]) -> tuple[str, Any, Completion | None]:
    """The text, the value, and the call that answered it."""
    for completion in reversed(calls.completions):
        if completion.output is not None and completion.output is found:
            return completion.text, found, completion
    if isinstance(found, str):
        # A `run` that asks its model for text.
        last = next((completion for completion in reversed(calls.completions) if completion.text == found), None)
        return found, output.parse(found), last
    return output.write(found), found, None
