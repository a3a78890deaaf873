"""Joining a continuation to the text it continues."""

from __future__ import annotations

__all__ = ["Splice", "StartedOverError"]

# A continuation that repeats this many characters from the start of the answer is a new answer, not a continuation.
_TELLING = 64
# So many characters, beyond what the answer has repeated of its beginning, are the least that tell.
_SHORT = 24


class StartedOverError(Exception):
    """The endpoint started the answer over instead of continuing it."""


class Splice:
    """Takes the text of a continuation and returns what is new in it.

    Args:
        answer: The part of the answer that was already handed out.
        omitted: The white space at its end that was not sent: a partial message must not end in white space, because it
            would stay in the prompt as a separate token and distort the rest. The model writes it again.
        verify: Whether the endpoint may have started over; its first characters are then held back until that is clear.
    """

    def __init__(self, answer: str, omitted: str = "", *, verify: bool = False) -> None:
        self._answer = answer.lstrip()
        self._skip = omitted
        self._telling = _telling(self._answer) if verify else None
        self._verify = self._telling is not None
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the part of `text` that the reader does not have yet.

        Raises:
            StartedOverError: The text repeats the beginning of the answer.
        """
        if self._verify:
            self._held += text
            beginning = self._held.lstrip()
            if self._answer.startswith(beginning):
                if self._telling is not None and len(beginning) >= self._telling:
                    raise StartedOverError
                return ""
            self._verify = False
            text, self._held = self._held, ""
        while self._skip and text:
            if text[0] != self._skip[0]:
                self._skip = ""
                break
            text, self._skip = text[1:], self._skip[1:]
        return text

    def finish(self) -> str:
        """Return what was held back, when the continuation has ended."""
        self._verify = False
        held, self._held = self._held, ""
        return self.feed(held)


def _telling(answer: str) -> int | None:
    """How many characters of the answer's beginning tell that it has started over; None if none do.

    An answer that has repeated its beginning may do so again in its continuation: only more than that is evidence. One that
    is mostly repetition ("word word word") gives none.
    """
    known = _repeated(answer)
    needed = max(min(len(answer), _TELLING), known + _SHORT)
    # Two copies, with a separator between them, or more.
    monotonous = 2 * known + 2 >= len(answer)
    return None if monotonous or needed > len(answer) else needed


def _repeated(answer: str) -> int:
    """How long a beginning of the answer occurs in it once more."""
    low, high = 0, len(answer)
    while high - low > 1:
        middle = (low + high) // 2
        if answer.find(answer[:middle], 1) < 0:
            high = middle
        else:
            low = middle
    return low
