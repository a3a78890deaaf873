"""What a model returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

__all__ = ["Choice", "Completion", "Delta", "Timings", "ToolCall", "Usage"]

_TRUNCATED: dict[str | None, str] = {
    "length": "the answer was cut off at its token limit; raise max_tokens",
    "content_filter": "the answer was cut off by the endpoint's content filter",
    "repetition": "the answer was cut off because it only repeated itself",
}


@dataclass(frozen=True)
class ToolCall:
    """A call of a function that the model asks for, or a piece of one while it streams.

    Attributes:
        index: Its position among the calls of one answer.
        id: The id that the result must refer to.
        name: The function.
        arguments: Its arguments as JSON text, as the model wrote them: check before use.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer, as it arrives.

    Attributes:
        content: New text.
        reasoning: New reasoning text, with `reasoning="separate"`.
        tool_calls: New pieces of tool calls.
        index: Which choice it belongs to, with `n` above 1.
        tokens: How many tokens (events of the server's stream) it is: above 1 where `interval` has joined several.
    """

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    index: int = 0
    tokens: int = 1


@dataclass(frozen=True)
class Usage:
    """Tokens, as the server counted them, over all requests that an answer took.

    Attributes:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens generated, reasoning included.
        cached_tokens: Tokens of the prompt that came from the prefix cache; None if not reported.
        reasoning_tokens: Tokens of reasoning; None if not reported.
        estimated: A request broke off; unless it reported its usage, its part is estimated from what arrived.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Timings:
    """How long an answer took, in seconds.

    Attributes:
        first_token: From the call to the first piece of the answer; None if it was empty.
        total: From the call to the end.
    """

    first_token: float | None
    total: float


@dataclass(frozen=True)
class Choice:
    """One of the answers to a request; there is one unless `n` was above 1.

    Attributes:
        text: The answer.
        reasoning: The server's separate reasoning text, with `reasoning="separate"`.
        finish_reason: Why it ended: `"stop"`, `"length"`, `"tool_calls"`, ... None: not reported.
        tool_calls: The calls of functions that the model asks for.
        logprobs: With the option `logprobs`: the `content` entries of the API, in order.
        refusal: Why the model refused to answer, where the endpoint sends that separately.
    """

    text: str
    reasoning: str = ""
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()
    refusal: str = ""


@dataclass(frozen=True)
class Completion:
    """A complete answer.

    Attributes:
        choices: The answers; one unless `n` was above 1.
        model_id: The model that wrote it.
        usage: Tokens spent, or None if the endpoint does not report them.
        timings: How long it took.
        retries: How many requests were sent again from the start.
        resumes: How many times it broke off and was continued.
        evidence: What shows that it is complete: what the server sent at its end, such as
            `("finish_reason", "usage", "[DONE]")`. Empty for a model that reports nothing.
        output: With `output_type`: the value that the answer is.
    """

    choices: tuple[Choice, ...]
    model_id: str = ""
    usage: Usage | None = None
    timings: Timings = field(default_factory=lambda: Timings(None, 0.0))
    retries: int = 0
    resumes: int = 0
    evidence: tuple[str, ...] = ()
    output: Any = None

    @property
    def text(self) -> str:
        """The (first) answer."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        """The reasoning text of the (first) answer, with `reasoning="separate"`."""
        return self.choices[0].reasoning

    @property
    def finish_reason(self) -> str | None:
        """Why the (first) answer ended."""
        return self.choices[0].finish_reason

    @property
    def truncated(self) -> bool:
        """Whether the (first) answer was cut off before the model had finished it."""
        return self.finish_reason in _TRUNCATED

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before using the (first) answer, as sentences; empty if nothing is wrong."""
        return (_TRUNCATED[self.finish_reason],) if self.finish_reason in _TRUNCATED else ()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of functions that the (first) answer asks for."""
        return self.choices[0].tool_calls

    def __str__(self) -> str:
        return self.text
