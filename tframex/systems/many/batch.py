"""The lines of a batch: requests in, results out, as JSON Lines.

Lines in the format of OpenAI's Batch API (https://platform.openai.com/docs/guides/batch) are answered in that format.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tframex._checks import check_messages
from tframex._types import Messages
from tframex.completion import Choice, Completion, Usage
from tframex.errors import ConfigurationError, ModelStatusError
from tframex.model import BaseModel, Output
from tframex.systems._identity import call_key
from tframex.systems.many.samples import Sample

__all__ = ["BatchLine", "BatchResult"]

_URL = "/v1/chat/completions"


@dataclass(frozen=True)
class BatchResult:
    """The outcome of a batch.

    Attributes:
        lines: Lines of the input that have a result now, of this run or an earlier one.
        earlier: How many of them an earlier run had written, and this one has left as they were.
        failed: How many of all lines have an error instead of an answer.
        usage: Tokens of this run.
        seconds: How long this run took.
        peak: The most calls that were in flight at the same time.
        refusals: How often the server refused a request because it had too many; each was sent again.
        retried: How many lines had failed in an earlier run and were asked again.
    """

    lines: int
    earlier: int
    failed: int
    usage: Usage
    seconds: float
    peak: int
    refusals: int
    retried: int = 0


@dataclass(frozen=True)
class BatchLine:
    """One request of a batch.

    Attributes:
        number: Its place in the input, from 1.
        custom_id: What the user calls it.
        messages: The conversation.
        options: Options of this line.
        key: Identifies its content.
        official: It came in the format of OpenAI's Batch API.
        problem: Why it cannot be sent, or empty.
    """

    number: int
    custom_id: str
    key: str
    messages: Messages = ()
    options: dict[str, Any] = field(default_factory=dict)
    official: bool = False
    problem: str = ""

    @classmethod
    def parse(cls, number: int, raw: str, model: BaseModel, options: Mapping[str, Any]) -> BatchLine:
        """A line of the input: `"a prompt"`, `{"prompt": ...}`, `{"messages": ...}` with options beside them, or a request
        of OpenAI's Batch API.

        Args:
            number: Its place in the input.
            raw: The line.
            model: Who will answer it.
            options: Options for all lines; those of the line take precedence.
        """
        key = call_key(model, dict(options), raw.strip())
        try:
            raw.encode()
            body = json.loads(raw)
        except UnicodeEncodeError:
            return cls(number, f"line-{number}", key, problem=f"line {number} is not UTF-8")
        except (ValueError, RecursionError) as exc:
            return cls(number, f"line-{number}", key, problem=f"line {number} is not JSON ({exc})")
        if isinstance(body, str):
            body = {"prompt": body}
        if not isinstance(body, dict):
            return cls(
                number, f"line-{number}", key, problem=f"line {number} must be a text or an object, not {raw[:80]}"
            )
        name = str(body.pop("custom_id", f"line-{number}"))
        official = "body" in body or "url" in body
        if official:
            url, body = body.get("url", _URL), body.get("body")
            if url != _URL or not isinstance(body, dict):
                return cls(
                    number, name, key, official=True, problem=f"line {number}: only POST {_URL} with a body is served"
                )
        prompt = body.pop("prompt", None)
        messages = body.pop("messages", None)
        if isinstance(prompt, str) and prompt.strip() and messages is None:
            messages = [{"role": "user", "content": prompt}]
        if not isinstance(messages, list) or not messages:
            problem = f'line {number} has neither a "prompt" nor "messages"'
            return cls(number, name, key, official=official, problem=problem)
        try:
            check_messages(messages)
        except ConfigurationError as error:
            return cls(number, name, key, official=official, problem=f"line {number}: {error}")
        body.pop("stream", None)
        return cls(number, name, key, messages, {**options, **body}, official)

    @property
    def id(self) -> str:
        """Identifies a result of this line: another line, model or option has another one."""
        return f"batch_req_{self.key}"

    def result(self, sample: Sample) -> str:
        """The line of the output."""
        if sample.error is not None or sample.completion is None:
            return self.refusal(_code(sample.error), str(sample.error or "cancelled"), sample.partial)
        completion = sample.completion
        found: dict[str, Any] = {"id": self.id, "custom_id": self.custom_id}
        if self.official:
            body = _official(completion)
            found.update(response={"status_code": 200, "request_id": self.id, "body": body}, error=None)
        else:
            found.update(
                **self._output(completion),
                text=completion.text,
                finish_reason=completion.finish_reason,
                usage=None if completion.usage is None else asdict(completion.usage),
                seconds=round(sample.seconds, 3),
                error=None,
            )
            if completion.reasoning:
                found["reasoning"] = completion.reasoning
            if completion.tool_calls:
                found["tool_calls"] = [asdict(call) for call in completion.tool_calls]
            if len(completion.choices) > 1:
                found["texts"] = [choice.text for choice in completion.choices]
        return _written(found)

    def _output(self, completion: Completion) -> dict[str, Any]:
        """The value of an answer with a type, for JSON."""
        output_type = self.options.get("output_type")
        return {} if output_type is None else {"output": Output.of(output_type).dump(completion.output)}

    def refusal(self, code: str, message: str, partial: str = "") -> str:
        """The line of the output for a request without an answer."""
        error: dict[str, Any] = {"code": code, "message": message}
        if partial:
            error["partial"] = partial
        response: dict[str, Any] = {"response": None} if self.official else {"text": None}
        return _written({"id": self.id, "custom_id": self.custom_id, **response, "error": error})


def _written(found: dict[str, Any]) -> str:
    # A lone surrogate can be in what a model says; escaped, it is JSON all the same.
    line = json.dumps(found, ensure_ascii=False)
    return line if line.isascii() or _encodable(line) else json.dumps(found)


def _encodable(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _code(error: Exception | None) -> str:
    if isinstance(error, ModelStatusError) and error.status_code:
        return str(error.status_code)
    return type(error).__name__


def _official(completion: Completion) -> dict[str, Any]:
    """The completion as the Chat Completions API gives it."""
    usage = completion.usage
    return {
        "id": "chatcmpl-tframex",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": completion.model_id,
        "choices": [_choice(number, choice) for number, choice in enumerate(completion.choices)],
        "usage": usage
        and {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }


def _choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": choice.refusal or None}
    if choice.reasoning:
        message["reasoning"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.tool_calls
        ]
    logprobs = {"content": list(choice.logprobs)} if choice.logprobs else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}
