"""An answer while it arrives, as a journal has it."""

from __future__ import annotations

import time

from tframex.tools._recorder import CallRecorder

__all__ = ["ArrivingAnswer"]

# What has arrived of an answer is written after this many seconds, if it has grown by this share.
_SECONDS = 0.25
_SHARE = 0.02


class ArrivingAnswer:
    """Writes an answer down now and then while it arrives, so that a later run can continue it.

    Args:
        recorder: Where to.
        step: The step that it is the answer of.
    """

    def __init__(self, recorder: CallRecorder, step: str) -> None:
        self._recorder = recorder
        self._step = step
        self._pieces: list[str] = []
        self._tokens = self._saved = 0
        self._saved_at = time.monotonic()

    def add(self, text: str, tokens: int = 1) -> bool:
        """Take a piece of the text; True if it is time to `save`.

        Only text may be continued by a later run: do not add the pieces of calls, nor of what a grammar holds.

        Args:
            text: The piece.
            tokens: How many tokens it is.
        """
        self._pieces.append(text)
        self._tokens += tokens
        grown = self._tokens - self._saved > _SHARE * self._saved
        return grown and time.monotonic() - self._saved_at >= _SECONDS

    def clear(self) -> None:
        """The answer starts over."""
        self._pieces.clear()
        self._tokens = self._saved = 0

    async def save(self) -> None:
        """Write down what has arrived; also where the run is cancelled, since it has been paid for."""
        self._saved, self._saved_at = self._tokens, time.monotonic()
        if self._pieces:
            await self._recorder.arrived(self._step, "".join(self._pieces), self._tokens)
