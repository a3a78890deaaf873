"""The tokens of an answer, as far as they are known."""

from __future__ import annotations

__all__ = ["TokenTrail"]


class TokenTrail:
    """Follows the token ids of one answer over all of its requests.

    Attributes:
        prompt: The ids of the prompt, where the endpoint sends them.
        ids: The ids of the answer, without those whose text has not arrived.
        count: How many tokens the text has: one for each id, and one for each event without ids.
    """

    __slots__ = ("_complete", "_counted", "_held", "_start", "_unsettled", "count", "ids", "prompt")

    def __init__(self) -> None:
        self.prompt: list[int] | None = None
        self.ids: list[int] = []
        self.count = 0
        self._start = 0
        self._unsettled: list[int] = []
        self._held = 0
        self._complete = True
        self._counted = True

    def begin(self) -> None:
        """Prepare for a request. Tokens whose text has not arrived are forgotten: they will be generated again."""
        self._start = self.count
        self._unsettled.clear()
        self._held = 0

    def begin_with(self, count: int) -> None:
        """Begin with `count` tokens whose ids are unknown."""
        self.count = count
        self._complete = self._counted = False

    def note_texts(self, ids: list[list[int] | None]) -> None:
        """Take in the tokens of events that all have text."""
        if not self._counted and ids.count(None) == len(ids):
            # The usual stream: it has no ids.
            self.count += self._held + len(ids)
            self._held = 0
        else:
            for tokens in ids:
                self.note(tokens, settled=True)

    def note_text(self, ids: list[int] | None) -> None:
        """Take in the tokens of an event that has text."""
        if ids is None and not self._counted:
            self.count += self._held + 1
            self._held = 0
        else:
            self.note(ids, settled=True)

    def note(self, ids: list[int] | None, *, settled: bool) -> None:
        """Take in the tokens of one event.

        Args:
            ids: The tokens, where they are known.
            settled: Whether the event has text. If not, the server still holds the text back (half of an emoji), and after
                a break these tokens are generated again.
        """
        if settled:
            self.count += self._held + (len(ids) if ids else 1)
            self._held = 0
        elif ids:
            self._held += len(ids)
        if not ids:
            self._complete = self._counted = False
        elif settled and len(ids) > 1:
            # The last of several tokens may be the first part of a character. Sent as the end of a prompt, it makes
            # vLLM repeat the complete prompt in its answer (vllm issue 48853).
            self._complete = False
        elif self._complete:
            self._unsettled += ids
            if settled:
                self.settle()

    def settle(self) -> None:
        """Keep the tokens without text: their text has arrived, or the answer has ended and they are special ones."""
        self.ids += self._unsettled
        self._unsettled.clear()

    def thought_ended(self, ids: list[int] | None) -> None:
        """Note that text follows a thought, in an event of these tokens.

        The token that ends a thought has no text. An older vLLM sends no event for it either, and without it the model
        would continue to think.
        """
        if not self._unsettled and len(ids or ()) < 2:
            self._complete = False

    def lose(self) -> None:
        """Note that what follows is not generated from exactly these tokens."""
        self._complete = False

    @property
    def grown(self) -> int:
        """How many tokens the current request has added."""
        return self.count - self._start

    @property
    def exact(self) -> bool:
        """Whether the ids of the prompt and of every token of the text are known."""
        return bool(self.prompt and self.ids and self._complete)

    @property
    def counted(self) -> bool:
        """Whether every event has reported how many tokens it has."""
        return self._counted and self.count > 0
