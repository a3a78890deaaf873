"""What has arrived of an answer, as far as continuing it is concerned."""

from __future__ import annotations

from typing import Literal

from tframex.exchange._wire import Chunk, ChunkUsage

__all__ = ["Received"]

Phase = Literal["nothing", "reasoning", "content"]


class Received:
    """The text, tokens and finish reasons so far, over all requests of one answer."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.phase: Phase = "nothing"
        self.unspliceable = False
        """Tool calls or a second choice arrived."""
        self.finish_reasons: dict[int, str] = {}
        self.usage: ChunkUsage | None = None
        self.events = 0
        """Events with text. Each holds at least one token."""
        self.prompt_token_ids: list[int] | None = None
        self.token_ids: list[int] = []
        self._unsettled: list[int] = []
        self._ids_complete = True

    def begin(self) -> None:
        """Forget the tokens whose text has not come: the next request brings them again."""
        self._unsettled.clear()

    def note_texts(self, texts: list[str], ids: list[list[int] | None]) -> None:
        """Take in texts of the first choice: what `note` does with nearly all chunks, in a fraction of the time.

        Args:
            texts: The texts, each of an event of its own.
            ids: The tokens of each, where they are known.
        """
        self.content += texts
        self.phase = "content"
        self.events += len(texts)
        for tokens in ids:
            if not self._ids_complete:
                break
            self._note_tokens(tokens, settled=True)

    def note(self, chunk: Chunk) -> bool:
        """Take in one chunk, as it is handed on to the reader, and say whether a choice ended with it."""
        finished = False
        if chunk.usage is not None:
            self.usage = chunk.usage
        for choice in chunk.choices or ():
            delta, ids = choice.delta, choice.token_ids
            if delta is not None:
                content = delta.content
                if content:
                    self.content.append(content)
                    self.phase = "content"
                    self.events += 1
                thought = delta.reasoning or delta.reasoning_content
                if thought:
                    self.reasoning.append(thought)
                    if not content:
                        self.phase = "reasoning"
                        self.events += 1
                if content or thought:
                    self._note_tokens(ids, settled=True)
                elif ids:
                    self._note_tokens(ids, settled=False)
                if choice.index or delta.tool_calls:
                    self.unspliceable = True
            if choice.finish_reason:
                self.finish_reasons[choice.index] = choice.finish_reason
                # Tokens without text at the very end are special ones, such as the end of the message.
                self.token_ids += self._unsettled
                self._unsettled.clear()
                finished = True
        return finished

    def _note_tokens(self, ids: list[int] | None, *, settled: bool) -> None:
        if not ids or not self._ids_complete:
            self._ids_complete = False
            return
        if settled and len(ids) > 1:
            # The last of several tokens may be the first part of a character. Sent as the end of a prompt, it makes
            # vLLM repeat the whole prompt in its answer (vllm issue 48853).
            self._ids_complete = False
            return
        self._unsettled += ids
        if settled:
            # Tokens whose text the server still holds back (half of an emoji) are asked for again after a break.
            self.token_ids += self._unsettled
            self._unsettled.clear()

    @property
    def text(self) -> str:
        """The content so far."""
        return "".join(self.content)

    @property
    def anything(self) -> bool:
        """Whether the reader has been given anything."""
        return self.phase != "nothing" or self.unspliceable

    @property
    def tokens(self) -> int:
        """How many tokens arrived: exactly where there are ids, else one for each event."""
        return len(self.token_ids) if self.exact_tokens else self.events

    @property
    def exact_tokens(self) -> bool:
        """Whether the ids of the prompt and of every token of the text are known."""
        return bool(self.prompt_token_ids and self.token_ids and self._ids_complete)

    def partial_message(self) -> str:
        """The answer as the model generated it, its thought between tags."""
        thought = "".join(self.reasoning)
        if not thought:
            return self.text
        opening = "<think>" if thought.startswith("\n") else "<think>\n"
        return f"{opening}{thought}" if self.phase == "reasoning" else f"{opening}{thought}</think>{self.text}"
