"""One chat request, and the requests that continue its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tframex._types import Message, Messages
from tframex.errors import ConfigurationError
from tframex.exchange._at_call import copy_of
from tframex.exchange._sendable import check_transport, not_json
from tframex.servers import GRAMMARS

__all__ = ["ChatRequest", "sending_options"]

# A grammar starts over with every request, so the continuation of half a JSON document would be a second document.
_NOT_SPLICEABLE = GRAMMARS | {"echo", "function_call", "functions", "tools"}
# What only the chat endpoint knows; the rest of a request means the same to /v1/completions.
_CHAT_ONLY = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "include_reasoning",
        "max_completion_tokens",
        "reasoning_effort",
        "response_format",
        "tool_choice",
        "parallel_tool_calls",
    }
)
# The official client's marks for "not given", by name: to recognise them by type, it would have to be imported.
_LEFT_OUT = ("NotGiven", "Omit")
_RAW = "X-Stainless-Raw-Response"
# Options that are not part of the body: their names for users, and for the official client's `post`.
_TRANSPORT = {"extra_headers": "headers", "extra_query": "params", "timeout": "timeout"}


@dataclass(frozen=True, repr=False)
class ChatRequest:
    """What is asked, in the API's own terms.

    Attributes:
        model: The served model's name.
        messages: The conversation.
        options: Body fields by name, whether the official client knows them or not.
        transport: Options that are not body fields: `extra_headers`, `extra_query` and `timeout`.
        prompt: Token ids; the request then goes to `/v1/completions` instead of the chat endpoint.
        validated: The answer is validated when it is complete: one that follows a JSON grammar may be continued without it.
    """

    model: str
    messages: Messages
    options: Mapping[str, Any]
    transport: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | Sequence[Any] | None = None
    validated: bool = False

    @classmethod
    def build(
        cls, model: str, messages: Messages, options: Mapping[str, Any], *, validated: bool = False
    ) -> ChatRequest:
        """Separate body fields (including those inside `extra_body`) from options of the transport.

        Raises:
            ConfigurationError: An option cannot be sent.
        """
        body = {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in options.items()
            if name != "extra_body" and name not in _TRANSPORT and type(value).__name__ not in _LEFT_OUT
        }
        extra = options.get("extra_body") or {}
        if not isinstance(extra, Mapping):
            raise ConfigurationError(f"extra_body must be a mapping of names to values, not {type(extra).__name__}")
        body.update(extra)
        transport = {name: options[name] for name in _TRANSPORT if options.get(name) is not None}
        check_transport(transport)
        try:
            # A chat loop appends the answer to its history while it grows: a continuation would contain it twice.
            return cls(model, copy_of(messages), copy_of(body), transport, validated=validated)
        except RecursionError as exc:
            raise not_json(exc) from exc

    def __repr__(self) -> str:
        # Its headers may be secret, and its messages long.
        return f"ChatRequest({self.model!r}, {len(self.messages)} messages)"

    def keywords(self) -> dict[str, Any]:
        """The keywords for the official client's `post`.

        Its `create` would first rebuild the body by its declared types, a third of what a request costs.
        Its retries are replaced by those of the exchange.
        """
        asked = {"messages": self.messages} if self.prompt is None else {"prompt": self.prompt}
        return {
            "path": "/chat/completions" if self.prompt is None else "/completions",
            "body": {**asked, "model": self.model, **self.options, "stream": True},
            "options": sending_options(self.transport),
            "stream": True,
        }

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        return self.options.get("n") or 1

    @property
    def allows_text(self) -> bool:
        """Whether a continuation can be asked for with the text so far."""
        return True

    @property
    def spliceable(self) -> bool:
        """Whether two halves of an answer to this request can be joined: no tools, one choice, no grammar unless validated.

        With `include_stop_str_in_output` half a stop string may have arrived, whose other half would not be recognised.
        """
        format_ = None if self.validated else self.options.get("response_format")
        hindering = _NOT_SPLICEABLE - GRAMMARS if self.validated else _NOT_SPLICEABLE
        return (
            self.options.get("n") in (None, 1)
            and not (self.options.get("stop") and self.options.get("include_stop_str_in_output"))
            and not any(self.options.get(name) for name in hindering)
            and (format_ is None or (isinstance(format_, Mapping) and format_.get("type") == "text"))
        )

    @property
    def text_only(self) -> bool:
        """Whether the conversation is nothing but text: token ids do not say what is in an image, audio or video."""
        for message in self.messages:
            content = message.get("content")
            if isinstance(content, (str, type(None))):
                continue
            if not isinstance(content, (list, tuple)) or not all(map(_is_text, content)):
                return False
        return True

    @property
    def max_tokens(self) -> int | None:
        """The limit of the answer in tokens, under either of its names."""
        limit = self.options.get("max_completion_tokens")
        limit = self.options.get("max_tokens") if limit is None else limit
        return limit if isinstance(limit, int) else None

    @property
    def allows_token_ids(self) -> bool:
        """Whether token ids describe exactly the text that arrived.

        With stop strings the server holds text back while it already reports its tokens; log probabilities have another
        shape on the text endpoint, that endpoint's default for `max_tokens` is 16, and it takes no images.
        """
        options = self.options
        return (
            self.spliceable
            and not options.get("stop")
            and not options.get("logprobs")
            and self.max_tokens is not None
            and self.text_only
        )

    def asking_for_token_ids(self) -> ChatRequest:
        """This request, with the ids of its prompt's and answer's tokens in the answer."""
        options = {"return_token_ids": True, **self.options}
        return replace(self, options=options)

    def continuing(self, partial: str, received_tokens: int, *, closed_thought: bool) -> ChatRequest:
        """The request that makes the chat endpoint continue after `partial`."""
        options = self._less(received_tokens)
        options["continue_final_message"] = True
        options["add_generation_prompt"] = False
        if closed_thought:
            # A reasoning parser would label the continuation as reasoning again.
            template = options.get("chat_template_kwargs") or {}
            options["chat_template_kwargs"] = {**template, "enable_thinking": False}
        messages: list[Message] = list(self.messages)
        if self.options.get("continue_final_message"):
            # The user's own last message is the beginning of this answer.
            started = messages.pop()
            messages.append({**started, "content": f"{started.get('content') or ''}{partial}"})
        else:
            messages.append({"role": "assistant", "content": partial})
        return replace(self, messages=messages, options=options, transport=self._transport_of_another_body())

    def after_tokens(self, prompt: list[int], received: list[int]) -> ChatRequest:
        """The request that makes the text endpoint continue after exactly these tokens."""
        options = {name: value for name, value in self._less(len(received)).items() if name not in _CHAT_ONLY}
        options.setdefault("max_tokens", (self.max_tokens or 0) - len(received))
        options["return_token_ids"] = True
        transport = self._transport_of_another_body()
        return replace(self, options=options, prompt=(*prompt, *received), transport=transport)

    def _transport_of_another_body(self) -> dict[str, Any]:
        headers = self.transport.get("extra_headers") or {}
        kept = {name: value for name, value in headers.items() if name.lower() != "idempotency-key"}
        return {**self.transport, "extra_headers": kept} if headers else dict(self.transport)

    def _less(self, tokens: int) -> dict[str, Any]:
        dropped = {"response_format", *GRAMMARS} if self.validated else ()
        options = {name: value for name, value in self.options.items() if name not in dropped}
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(options.get(name), int):
                options[name] = max(1, options[name] - tokens)
        if isinstance(options.get("min_tokens"), int):
            options["min_tokens"] = max(0, options["min_tokens"] - tokens)
        return options


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and part.get("type") == "text")


def sending_options(transport: Mapping[str, Any]) -> dict[str, Any]:
    """The `options` of the official client's `post` and `get`, without its own retries."""
    from openai import omit

    options = {_TRANSPORT[name]: value for name, value in transport.items()}
    # A raw response that the user asked for comes from the official client; what is sent from here is read here.
    kept = {name: value for name, value in (options.get("headers") or {}).items() if name.lower() != _RAW.lower()}
    return {"max_retries": 0, "security": {"bearer_auth": True}, **options, "headers": {**kept, _RAW: omit}}
