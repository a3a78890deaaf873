"""A step as the journal has it: while its answer arrives, and when it is complete."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import anyio.to_thread

from tframex.completion import Completion, Timings, Usage
from tframex.files import Journal, Row
from tframex.systems._recorded_call import RecordedCall, Recorder
from tframex.systems.reading._thoughts import thought_tokens
from tframex.systems.reading.record import Step
from tframex.text import strip_thinking

__all__ = ["JournalRecorder", "step_from_row"]

# They bound what a kill may cost: an unfinished answer is saved when it has grown by this many pieces and by a fiftieth
# (all of it is written each time, so long ones are written less often), and after this many seconds in any case.
_PIECES = 2
_SHARE = 50
_SECONDS = 0.1


class JournalRecorder(Recorder):
    """Writes a step down.

    Args:
        journal: Where to, or None.
        key: Identifies the call.
        step: What is known of the step beforehand.
        decided: What the run has decided for it: options, and the number of its budget. A continued run takes the same.
    """

    def __init__(self, journal: Journal | None, key: str, step: Step, decided: dict[str, Any]) -> None:
        self.step = step
        """The step; with its answer when that is complete."""
        self._journal = journal
        self._key = key
        self._decided = decided
        self._arrived = self._saved = 0
        self._saved_at = time.monotonic()

    def add(self, text: str) -> bool:
        """Take a piece of the text; True if it is time to write it down."""
        if self._journal is None:
            return False
        self._arrived += 1
        grown = self._arrived - self._saved >= max(_PIECES, self._arrived // _SHARE)
        return grown or time.monotonic() - self._saved_at >= _SECONDS

    def clear(self) -> None:
        """The answer starts over."""
        self._arrived = self._saved = 0

    async def save(self, call: RecordedCall) -> None:
        """Write down what has arrived."""
        # As many pieces as the answer has events, those of an earlier run included.
        self._arrived = self._saved = call.tokens
        self._saved_at = time.monotonic()
        await self._write(call, False, call.text, {})

    async def finish(self, call: RecordedCall, completion: Completion) -> None:
        """Write down the complete answer."""
        counter, usage = call.model.counter, completion.usage
        if not counter.exact and not (usage is not None and usage.estimated):
            counter.observe(call.messages, usage.prompt_tokens if usage is not None else None)
        reported = usage.prompt_tokens if usage is not None and not usage.estimated else self.step.prompt_tokens
        self.step = replace(
            self.step,
            text=strip_thinking(completion.text),
            prompt_tokens=reported,
            usage=usage,
            timings=completion.timings,
            finish_reason=completion.finish_reason,
            thinking=thought_tokens(completion, counter.count),
        )
        details = {
            "prompt_tokens": self.step.prompt_tokens,
            "max_tokens": self.step.max_tokens,
            "usage": None if usage is None else asdict(usage),
            "timings": asdict(completion.timings),
            "finish_reason": completion.finish_reason,
            "thinking": self.step.thinking,
        }
        await self._write(call, True, self.step.text, details)

    async def _write(self, call: RecordedCall, done: bool, text: str, details: dict[str, Any]) -> None:
        if self._journal is not None:
            details = {**details, **self._decided, "ratios": call.model.counter.state()}
            row = Row(call.step, self._key, self.step.start, self.step.end, done, text, call.tokens, details)
            await anyio.to_thread.run_sync(self._journal.put, row)


def step_from_row(row: Row, kind: str, path: int) -> Step:
    """A finished step of an earlier run."""
    details = row.details
    usage = details.get("usage")
    return Step(
        kind,
        path,
        row.start,
        row.end,
        row.text,
        details.get("prompt_tokens", 0),
        details.get("max_tokens", 0),
        None if usage is None else Usage(**usage),
        Timings(**details["timings"]) if "timings" in details else Timings(None, 0.0),
        from_checkpoint=True,
        finish_reason=details.get("finish_reason"),
        thinking=details.get("thinking", 0),
    )
