"""Joining a continuation to the text it continues."""

from __future__ import annotations

__all__ = ["Splice", "StartedOverError"]

# A continuation that repeats this many characters from the start of the answer is a new answer, not a continuation.
_TELLING = 64
# An answer shorter than this is too short to tell.
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
        # An answer that repeats its own beginning may continue with it.
        telling = len(self._answer) >= _SHORT and self._answer.find(self._answer[:_TELLING], 1) < 0
        self._verify = verify and telling
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
                if len(beginning) >= min(len(self._answer), _TELLING):
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
