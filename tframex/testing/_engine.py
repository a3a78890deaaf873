"""What the fake server generates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tframex.servers import server_named
from tframex.testing._calls import ScriptedCall, action, calls_of, markup, wants_action, words_of_call
from tframex.testing._event_writer import EventWriter
from tframex.testing._vocabulary import EOS, OPEN, Vocabulary

__all__ = ["Answer", "Engine", "RequestError"]


class RequestError(Exception):
    """The request is answered with an error, as a real server words it."""

    def __init__(self, status: int, message: str, *, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error": {"message": message, "type": kind, "param": param, "code": status}}).encode()


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Attributes:
        text: Its answer.
        reasoning: What a reasoning parser files apart; the model generated it as `<think>...</think>` before the text.
        calls: The calls of tools that follow the text: names with their arguments, `[("weather", {"city": "Bern"})]`, or
            `ToolCall` objects, whose ids and arguments are sent as they are.
    """

    text: str = ""
    reasoning: str = ""
    calls: Sequence[ScriptedCall] = ()

    @property
    def raw(self) -> str:
        """As it was generated, tags included."""
        said = f"{OPEN}{self.reasoning}</think>{self.text}" if self.reasoning else self.text
        return "\n".join([*([said] if said else []), *map(markup, calls_of(self.calls))])


@dataclass
class Engine:
    """Answers chats deterministically, token by token.

    Args:
        answer: The answer to a conversation.
        model: The name it is served under.
        context_window: Tokens a prompt and its answer may have together.
        dialect: Whose bytes to send: `"vllm"`, `"llama.cpp"`, or `"openai"` (which cannot continue an answer).
        tokenize: Cuts a text into tokens; joined together they are the text.
        parses_tools: It reads the calls in an answer: a vLLM with a tool parser, which refuses tools without one.
    """

    answer: Callable[[Mapping[str, Any]], Answer]
    model: str
    context_window: int
    dialect: str
    tokenize: Callable[[str], list[str]]
    parses_tools: bool = True
    _prompts: dict[tuple[str, object], Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.tokenize)
        self._writer = EventWriter(self.model, self.dialect, self.vocabulary)

    def render(self, body: Mapping[str, Any]) -> str:
        """The conversation as the chat template writes it."""
        continues = bool(body.get("continue_final_message"))
        if continues and body.get("add_generation_prompt", True):
            raise RequestError(400, "Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
        messages = body.get("messages")
        if not isinstance(messages, list):
            raise RequestError(400, "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages'}")
        parts = [f"<|im_start|>{message['role']}\n{_written(message)}" for message in messages]
        if body.get("tools"):
            parts.insert(0, f"<|im_start|>system\n{json.dumps(body['tools'])}")
        text = f"{EOS}\n".join(parts)
        return text if continues else f"{text}{EOS}\n<|im_start|>assistant\n"

    def chat(self, body: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
        """The events of a chat completion, and how many tokens each of them took.

        Raises:
            RequestError: The request is refused.
        """
        self._check(body)
        prompt = self.render(body)
        ids = self._fit(self.vocabulary.ids(prompt), body)
        continues = bool(body.get("continue_final_message"))
        if continues or (self.dialect == "llama.cpp" and body["messages"][-1]["role"] == "assistant"):
            partial = str(body["messages"][-1].get("content") or "")
            answer = self.answer({**body, "messages": body["messages"][:-1]})
            words, thinking = self._rest(answer, partial, body)
        else:
            answer = self.answer(body)
            partial, words, thinking = "", self._words_of(answer, body), bool(answer.reasoning)
            self._prompts[prompt, body.get("seed")] = answer
        return self._writer.chat(body, prompt, ids, words, thinking, self._limit(body, ids))

    def completion(self, body: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
        """The events of a text completion, also of one that continues an earlier chat or completion."""
        self._check(body)
        asked = body.get("prompt")
        if isinstance(asked, (list, tuple)) and not all(isinstance(number, int) for number in asked):
            raise RequestError(400, "FakeVLLM completes one prompt in a request: a text or a list of token ids.")
        if not isinstance(asked, (str, list, tuple)):
            raise RequestError(400, "1 validation error:\n  {'type': 'missing', 'loc': 'body.prompt'}")
        ids = self._fit(self.vocabulary.ids(asked) if isinstance(asked, str) else list(asked), body)
        # The default of this API.
        limit = self._limit({"max_tokens": 16, **body}, ids)
        return self._writer.text(body, ids, self.tokenize(self._completed(body, self.vocabulary.text(ids))), limit)

    def _completed(self, body: Mapping[str, Any], text: str) -> str:
        """What follows a text."""
        for (prompt, seed), answer in self._prompts.items():
            if seed == body.get("seed") and text.startswith(prompt) and answer.raw.startswith(text[len(prompt) :]):
                return answer.raw[len(text) - len(prompt) :]
        if not isinstance(body["prompt"], str):
            return " (an unknown prompt)"
        answer = self._prompts[text, body.get("seed")] = self.answer(body)
        return answer.raw

    def response(self, body: Mapping[str, Any]) -> tuple[int, Iterator[tuple[str, str | None, list[int]]], bool]:
        """How long a prompt of the Responses API is, what is generated for it, and whether that begins with a thought."""
        self._check(body)
        asked = body.get("input") or ""
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        if body.get("instructions"):
            messages = [{"role": "system", "content": body["instructions"]}, *messages]
        ids = self._fit(self.vocabulary.ids(self.render({"messages": messages})), body)
        answer = self.answer(body)
        limit = self._limit({"max_tokens": body.get("max_output_tokens")}, ids)
        return len(ids), self._writer.tokens(self._words_of(answer), limit), bool(answer.reasoning)

    # -- words ---------------------------------------------------------------------------------------------------

    def _words_of(self, answer: Answer, body: Mapping[str, Any] | None = None) -> list[str]:
        words = [OPEN, *self.tokenize(answer.reasoning), "</think>"] if answer.reasoning else []
        calls = calls_of(answer.calls)
        if body is not None and wants_action(body):
            return [*words, *self.tokenize(action(answer.text, calls))]
        words += self.tokenize(answer.text)
        if not calls:
            return words
        if body is not None and body.get("tools") and body.get("tool_choice") != "none":
            # llama.cpp enforces no choice of tools, and a model without a template for them makes no call.
            parsed = (words_of_call(call, self.tokenize) for call in calls if self.dialect != "llama.cpp")
            return [*words, *(word for call in parsed for word in call)]
        separated = "\n".join([*([""] if answer.text else []), *map(markup, calls)])
        return [*words, *self.tokenize(separated)]

    def _rest(self, answer: Answer, partial: str, body: Mapping[str, Any]) -> tuple[list[str], bool]:
        """What follows a partial answer, and whether a reasoning parser takes it for reasoning."""
        if self.dialect == "openai":
            return self._words_of(answer), bool(answer.reasoning)
        if not partial.strip() or partial != partial.rstrip() or not answer.raw.startswith(partial):
            # An empty partial answer is continued with garbage; white space at its end changes what follows.
            return self.tokenize(f" (bent after {partial[-8:]!r})"), False
        rest = answer.raw[len(partial) :]
        thinking = (
            bool(answer.reasoning) and (body.get("chat_template_kwargs") or {}).get("enable_thinking") is not False
        )
        before, closed, after = rest.partition("</think>")
        if thinking and closed:
            return [*self.tokenize(before), "</think>", *self.tokenize(after)], True
        return self.tokenize(rest), thinking

    def _check(self, body: Mapping[str, Any]) -> None:
        if not server_named(self.dialect).any_name and body.get("model") != self.model:
            message = f"The model `{body.get('model')}` does not exist. Valid aliases: {self.model}."
            raise RequestError(404, message, kind="NotFoundError", param="model")
        if self.dialect == "openai":
            for name in ("continue_final_message", "add_generation_prompt", "return_token_ids"):
                if name in body:
                    raise RequestError(400, f"Unrecognized request argument supplied: {name}")
        self._check_tools(body)
        temperature = body.get("temperature")
        if isinstance(temperature, (int, float)) and temperature < 0:
            value = float(temperature)
            message = f"temperature must be non-negative, got {value}. (parameter=temperature, value={value})"
            raise RequestError(400, message, param="temperature")

    def _check_tools(self, body: Mapping[str, Any]) -> None:
        tools, choice = body.get("tools"), body.get("tool_choice") or "auto"
        if tools is None:
            return
        if not tools:
            message = (
                "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. "
                "(parameter=tools)"
            )
            raise RequestError(400, message, param="tools")
        if self.dialect == "llama.cpp" and body.get("grammar") and choice != "none":
            raise RequestError(400, "Cannot use custom grammar constraints with tools.")
        if self.dialect != "vllm" or self.parses_tools or choice == "none":
            return
        if choice == "auto":
            flags = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            raise RequestError(400, flags)
        named = choice if isinstance(choice, str) else choice["function"]["name"]
        asked = "tool_choice=" + (f'"{named}"' if isinstance(choice, str) else f'function "{named}"')
        raise RequestError(400, f"{asked} requires --tool-call-parser to be set")

    def _fit(self, ids: list[int], body: Mapping[str, Any]) -> list[int]:
        window, tokens = self.context_window, len(ids)
        if tokens < window:
            return ids
        if self.dialect == "llama.cpp":
            error = RequestError(400, "")
            error.body = json.dumps(
                {
                    "error": {
                        "code": 400,
                        "message": f"request ({tokens} tokens) exceeds the available context size ({window} tokens), "
                        "try increasing it",
                        "type": "exceed_context_size_error",
                        "n_prompt_tokens": tokens,
                        "n_ctx": window,
                    }
                }
            ).encode()
            raise error
        raise RequestError(
            400,
            f"This model's maximum context length is {window} tokens. However, your prompt contains at least {window + 1} "
            "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
            f"prompt. (parameter=input_tokens, value={window + 1})",
            param="input_tokens",
        )

    def _limit(self, body: Mapping[str, Any], prompt: list[int]) -> int:
        asked = body.get("max_completion_tokens") or body.get("max_tokens") or self.context_window
        return int(min(asked, self.context_window - len(prompt)))


def _written(message: Mapping[str, Any]) -> str:
    """What a chat template makes of a message."""
    calls = [f"{call['function']['name']} {call['function']['arguments']}" for call in message.get("tool_calls") or ()]
    return "\n".join([str(message.get("content") or ""), *calls]) if calls else str(message.get("content") or "")
