"""Checks of the ways in which an endpoint takes tools and typed answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.stream import Stream
from tframex.cli.doctor.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tframex.completion import Completion
    from tframex.model import VLLMModel

__all__ = ["tools", "typed_answers"]

# A model that thinks first needs some.
_TOKENS = 256
# How many signs of life an answer may take.
_PATIENCE = 4
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
_TOOL_WAYS = {
    "native": "as the API has them",
    "tags": "in the prompt, with a structural tag as the grammar of the calls",
    "action": "in the prompt, with calls and answers as one JSON object that response_format holds to its schema",
    "text": "in the prompt, and calls without a grammar",
}
_FORMS = {
    "response_format": "response_format with the JSON schema",
    "structured_outputs": "structured_outputs with the JSON schema",
    "json_schema": "json_schema",
    "json_object": "response_format without the schema",
    "prompt": "the schema in the prompt, without a grammar",
}
_BUSY = "The server is overloaded, or it or a proxy refuses such a request altogether."


async def tools(target: Target, found: Stream) -> Finding:
    """In which way the endpoint takes tools, and whether a call comes."""
    from tframex.model import tool_ways

    async def called(model: VLLMModel, options: dict[str, Any]) -> Finding:
        completion = await _acted(model, "auto", options)
        if not completion.tool_calls:
            # It may answer without a call. This it may not.
            completion = await _acted(model, "weather", options)
        ways = await tool_ways(model)
        data = {"way": ways.used, "refused": list(ways.refused)}
        detail = f"{ways.used!r}: {_TOOL_WAYS[ways.used]}{_besides(ways.refused)}"
        cause, fix = _remedy(target, ways.refused)
        if not completion.tool_calls:
            return Finding(
                "tools",
                "warning",
                f"{detail}; no call came, although one was required",
                "The model was not trained to call tools, or a proxy leaves the choice of a tool out.",
                "Use a model that calls tools; a ToolAgent works only as well as its model.",
                data,
            )
        if ways.used == "text" or ways.loose:
            detail += "" if ways.used == "text" else "; it has refused that grammar"
            return Finding("tools", "warning", f"{detail}; a call may be wrong", cause, fix, data)
        return Finding("tools", "ok", detail, data=data)

    return await _asked("tools", target, found, called)


async def typed_answers(target: Target, found: Stream) -> Finding:
    """In which form the endpoint is asked for an answer of a type, and whether the answer is one."""
    from tframex.errors import OutputValidationError
    from tframex.model import Output, output_ways, typed_call

    async def answered(model: VLLMModel, options: dict[str, Any]) -> Finding:
        output, wrong = Output.of(int), ""
        messages = [{"role": "user", "content": "How many legs has a dog?"}]
        try:
            await typed_call(model, messages, output, {"max_output_retries": 0, **options})
        except OutputValidationError as error:
            wrong = target.clean(str(error.errors[0] if error.errors else error.args[0]))
        ways = await output_ways(model, output)
        data = {"way": ways.used, "refused": list(ways.refused)}
        detail = f"{ways.used!r}: {_FORMS[ways.used]}{_besides(ways.refused)}"
        if wrong:
            return Finding(
                "typed answers",
                "warning",
                f"{detail}; the answer was none ({wrong[:200]})",
                "The endpoint, or a proxy, takes the schema and does not hold the answer to it, or the model thinks long.",
                "Such answers are asked for again (max_output_retries); give thinking models a large max_tokens.",
                data,
            )
        if ways.used in ("json_object", "prompt"):
            return Finding(
                "typed answers",
                "warning",
                f"{detail}; an answer may be wrong, and then is asked for again",
                "The endpoint refuses schemas.",
                "vLLM, llama.cpp and OpenAI's API take them; look whether a proxy does not pass them on.",
                data,
            )
        return Finding("typed answers", "ok", detail, data=data)

    return await _asked("typed answers", target, found, answered)


async def _asked(
    name: str, target: Target, found: Stream, look: Callable[[VLLMModel, dict[str, Any]], Awaitable[Finding]]
) -> Finding:
    from tframex.errors import ModelError

    options = {"max_completion_tokens" if "max_tokens" in found.refused else "max_tokens": _TOKENS}
    try:
        with anyio.fail_after(_PATIENCE * target.seconds):
            async with _model(target, found) as model:
                return await look(model, options)
    except (ModelError, TimeoutError) as exc:
        said = target.clean(str(exc)) or "no complete answer in time"
        return Finding(name, "warning", f"not seen: the request failed ({said[:300]})", _BUSY, "Look at its log.")


@asynccontextmanager
async def _model(target: Target, found: Stream) -> AsyncGenerator[VLLMModel, None]:
    from tframex.model import VLLMModel

    async with VLLMModel(
        target.model or "unknown",
        target.url,
        target.key or "none",
        None,
        None if "temperature" in found.refused else 0.0,
        first_token_timeout=target.seconds,
        idle_timeout=target.seconds,
        max_retries=0,
    ) as model:
        yield model


async def _acted(model: VLLMModel, choice: str, options: dict[str, Any]) -> Completion:
    from tframex.events import RunFinished

    messages = [{"role": "user", "content": "What is the weather in Bern? Call the tool."}]
    async for event in model.act(messages, tools=[_TOOL], choice=choice, restart=True, **options):
        if isinstance(event, RunFinished):
            completion: Completion = event.result
    return completion


def _besides(refused: tuple[str, ...]) -> str:
    return f" ({', '.join(map(repr, refused))} refused or not enforced)" if refused else ""


def _remedy(target: Target, refused: tuple[str, ...]) -> tuple[str, str]:
    if target.server.name == "vllm" and refused:
        flags = "--enable-auto-tool-choice and the --tool-call-parser of its model"
        return "vLLM runs without a parser of calls.", f"Start vLLM with {flags}."
    return "The endpoint does not take a grammar for calls.", "Use vLLM, llama.cpp or OpenAI's API."
