"""Tools, calls and results as text, for endpoints that are not sent them as such.

The words are those of Qwen's chat template (and of the Hermes models before it), which most models with tools have seen: a
Qwen model gets exactly the prompt that its template would have made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tframex._types import Message, Messages
from tframex.model._call_text import CALL_BEGIN, CALL_END

__all__ = ["action_instructions", "as_action", "as_markup", "described", "tag_instructions", "with_answer"]

Definitions = Sequence[Mapping[str, Any]]

_TAGS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

_ACTION = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

Answer with one JSON object and nothing else. To call functions:
{{"calls": [{{"name": <function-name>, "arguments": <args-json-object>}}]}}
Their results are given to you then. To answer the user:
{{"answer": {answer}}}"""


def tag_instructions(tools: Definitions, answer: Mapping[str, Any] | None) -> str:
    """How to call the tools with a tag around each call.

    Args:
        tools: Their definitions.
        answer: The JSON schema of the final answer; None if it is text.
    """
    text = _TAGS.format(tools="\n".join(map(_json, tools)))
    return text if answer is None else f"{text}\n\nOtherwise answer with JSON that fits this schema:\n{_json(answer)}"


def action_instructions(tools: Definitions, answer: Mapping[str, Any] | None) -> str:
    """How to call the tools, or answer, with one JSON object.

    Args:
        tools: Their definitions.
        answer: The JSON schema of the final answer; None if it is text.
    """
    shown = "<text>" if answer is None else f"<JSON that fits the schema {_json(answer)}>"
    return _ACTION.format(tools="\n".join(map(_json, tools)), answer=shown)


def with_answer(messages: Messages, answer: Mapping[str, Any]) -> list[Message]:
    """A conversation that says what the final answer is: a grammar alone only hinders a model from writing something else.

    Args:
        messages: The conversation.
        answer: The JSON schema of the answer.
    """
    return _with_system(messages, f"Give your final answer as JSON alone, which fits this schema:\n{_json(answer)}")


def _with_system(messages: Messages, text: str) -> list[Message]:
    rest = list(messages)
    if rest and rest[0].get("role") in ("system", "developer"):
        first = rest.pop(0)
        return [{**first, "content": f"{_text_of(first)}\n\n{text}"}, *rest]
    return [{"role": "system", "content": text}, *rest]


def described(
    messages: Messages, instructions: str, written: Callable[[str, Sequence[Mapping[str, Any]]], str]
) -> list[Message]:
    """A conversation in which tools, calls and results are text.

    Args:
        messages: The conversation, as the API takes it.
        instructions: How to call the tools; they follow the system prompt.
        written: How an answer is written that has this text and these calls.
    """
    first, *rest = _with_system(messages, instructions)
    made: list[Message] = [first]
    answering = False
    for message in rest:
        if message.get("role") == "tool":
            result = f"<tool_response>\n{_text_of(message)}\n</tool_response>"
            if answering:
                made[-1] = {"role": "user", "content": f"{made[-1]['content']}\n{result}"}
            else:
                made.append({"role": "user", "content": result})
            answering = True
            continue
        answering = False
        if message.get("role") == "assistant":
            calls = message.get("tool_calls") or ()
            made.append({"role": "assistant", "content": written(_text_of(message), calls)})
        else:
            made.append(message)
    return made


def as_markup(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """An answer with a tag around each call."""
    parts = [text] if text else []
    for call in calls:
        name, arguments = _parts(call)
        written = f'{{"name": {_json(name)}, "arguments": {arguments}}}'
        parts.append(f"{CALL_BEGIN}\n{written}\n{CALL_END}")
    return "\n".join(parts)


def as_action(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """An answer as one JSON object; text beside calls is not part of it."""
    if not calls:
        return f'{{"answer": {text if _is_json(text) else _json(text)}}}'
    written = (f'{{"name": {_json(name)}, "arguments": {arguments}}}' for name, arguments in map(_parts, calls))
    return f'{{"calls": [{", ".join(written)}]}}'


def _parts(call: Mapping[str, Any]) -> tuple[str, str]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    return function.get("name") or "", arguments if _is_json(arguments) else _json(arguments)


def _is_json(text: str) -> bool:
    """Whether it is a JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _text_of(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content or ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
