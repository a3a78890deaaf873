"""One request to `/v1/completions`, and the requests that continue its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tframex.exchange._request import ChatRequest, sending_options

__all__ = ["TextRequest"]

# With one of these, what follows a longer prompt is not what follows the answer so far: the prompt is cut, the answer ends
# where a given text begins, several answers are compared, or each token has numbers that count from the prompt.
_NOT_SPLICEABLE = ("prompt_embeds", "suffix", "truncate_prompt_tokens", "use_beam_search")
_NUMBERS = ("logprobs", "prompt_logprobs")


@dataclass(frozen=True, repr=False)
class TextRequest(ChatRequest):
    """What is asked of `/v1/completions`: `prompt` is a text, token ids, or a list of either."""

    def __repr__(self) -> str:
        return f"TextRequest({self.model!r})"

    def keywords(self) -> dict[str, Any]:
        """The keywords for the official client's `post`."""
        asked = {"model": self.model, "prompt": self.prompt}
        body = {**asked, **self.options, "stream": True}
        return {"path": "/completions", "body": body, "options": sending_options(self.transport), "stream": True}

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        one = self._is_text or self._is_ids or not isinstance(self.prompt, (list, tuple))
        return super().choices * (1 if one else len(self.prompt or ()))

    @property
    def spliceable(self) -> bool:
        """Whether two halves of an answer can be joined: one prompt, one answer, and a limit that is known.

        Without `max_tokens` some servers generate 16 tokens and others as many as they can.
        """
        options = self.options
        return (
            (self._is_text or self._is_ids)
            and super().spliceable
            and "max_tokens" in options
            and options.get("best_of") in (None, 1)
            and not any(options.get(name) for name in _NOT_SPLICEABLE)
            and all(options.get(name) is None for name in _NUMBERS)
        )

    @property
    def allows_token_ids(self) -> bool:
        """Whether token ids describe exactly the text that arrived: with stop strings, the server holds text back."""
        return self.spliceable and not self.options.get("stop")

    @property
    def allows_text(self) -> bool:
        """Whether a continuation can be asked for with the text so far."""
        return self._is_text

    def continuing(self, partial: str, received_tokens: int, *, closed_thought: bool) -> TextRequest:
        """The request for what follows the prompt and `partial`."""
        prompt = f"{self.prompt}{partial}"
        transport = self._transport_of_another_body()
        return replace(self, prompt=prompt, options=self._less(received_tokens), transport=transport)

    def after_tokens(self, prompt: list[int], received: list[int]) -> TextRequest:
        """The request for what follows exactly these tokens."""
        options = {**self._less(len(received)), "return_token_ids": True}
        transport = self._transport_of_another_body()
        return replace(self, prompt=(*prompt, *received), options=options, transport=transport)

    @property
    def _is_text(self) -> bool:
        return isinstance(self.prompt, str) and bool(self.prompt)

    @property
    def _is_ids(self) -> bool:
        prompt = self.prompt
        return isinstance(prompt, (list, tuple)) and bool(prompt) and all(isinstance(number, int) for number in prompt)
