"""What is known of each kind of server: one row each.

The model, the engine, the doctor and the fakes read it. To support another kind of server, add a row with what was
measured; a field that was not measured keeps its default, which promises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "GRAMMARS",
    "LLAMA_CPP",
    "OPENAI",
    "SERVERS",
    "UNKNOWN",
    "VLLM",
    "Counting",
    "OutputForm",
    "ServerKind",
    "ToolRung",
    "Where",
    "server_named",
    "server_of_chunk",
    "server_of_headers",
    "server_of_owner",
]


ToolRung: TypeAlias = Literal["native", "tags", "action", "text"]
"""A way to let a model call tools. `"native"`: the API's `tools`. In the others the tools are described in the prompt, and
the calls are read from the text: `"tags"`, with a structural tag as their grammar; `"action"`, one JSON object that
`response_format` holds to its schema; `"text"`, without a grammar.
"""

OutputForm: TypeAlias = Literal["response_format", "structured_outputs", "json_schema", "json_object", "prompt"]
"""How a request asks for an answer of a type.

`"response_format"`: OpenAI's, with the JSON schema. `"structured_outputs"`: vLLM's. `"json_schema"`: llama.cpp's.
`"json_object"`: `response_format` without the schema, which is in the prompt; any JSON object may come. `"prompt"`: the
schema is in the prompt, and anything may come.
"""


@dataclass(frozen=True)
class Where:
    """A value in the JSON that a path returns.

    Attributes:
        path: The path, from the server's root.
        names: The keys that lead to the value, from the outside in.
    """

    path: str
    names: tuple[str, ...]

    def find(self, body: object) -> Any:
        """The value, or None."""
        for name in self.names:
            body = body.get(name) if isinstance(body, Mapping) else None
        return body


@dataclass(frozen=True)
class Counting:
    """A request that counts tokens.

    Attributes:
        path: Where it goes.
        asked: The field of the request that holds what is counted.
        answer: The field of the response: a number, or a list whose length is the number.
        at_root: The path is at the server's root instead of under `/v1`.
        options: Further fields.
    """

    path: str
    asked: str
    answer: str
    at_root: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


# An unknown server is asked as vLLM is: gateways pass the request on, and others refuse the path.
_COUNTS_TEXT = Counting("/tokenize", "prompt", "count", options={"add_special_tokens": False})
_COUNTS_CHAT = Counting("/tokenize", "messages", "count")


@dataclass(frozen=True)
class ServerKind:
    """One kind of server.

    Attributes:
        name: Its name in TFrameX.
        title: Its name for people; empty for the unknown.
        owners: Its names in `owned_by` of the models list.
        header: A header that only it sends, and its value (None: any).
        fingerprint: How `system_fingerprint` of its chunks begins; empty if that is not typical of it.
        sends_prompt_ids: Its chunks have the field `prompt_token_ids`, even when the request did not ask for it.
        version: Where its version is.
        window: Where the context window is, if not in the models list.
        window_entry: The field of an entry in the models list that has the context window.
        counts_text: How it counts the tokens of a text.
        counts_chat: How it counts those of a conversation, with what the chat template adds.
        continues: It continues a partial message of the assistant with `continue_final_message`. None: unknown.
        token_ids: It sends token ids when asked, and takes them as a prompt, so that an answer continues token-exactly.
        event_is_token: Each of its events with text is one token.
        says_why: It never ends an answer without a `finish_reason`.
        refuses_other_names: It refuses a model that is not on its list.
        any_name: It serves its one model under any name.
        tools: The ways in which it may take tools, the best one first; the next one is tried where one is refused.
        strict_tools: It holds the arguments of calls to their schema only for tools with `"strict": true`, and takes any
            schema there.
        tools_and_format: It takes `tools` and a `response_format` together: the answer is calls, or has the format.
        output_forms: How an answer of a type is asked for, the best first. Where one is refused, the next is taken.
        shows_schema: It shows the schema of a `response_format` to the model, so that the prompt need not.
    """

    name: str
    title: str = ""
    owners: tuple[str, ...] = ()
    header: tuple[str, str | None] | None = None
    fingerprint: str = ""
    sends_prompt_ids: bool = False
    version: Where | None = None
    window: Where | None = None
    window_entry: str = "max_model_len"
    counts_text: Counting = _COUNTS_TEXT
    counts_chat: Counting = _COUNTS_CHAT
    continues: bool | None = None
    token_ids: bool = False
    event_is_token: bool = False
    says_why: bool = False
    refuses_other_names: bool = False
    any_name: bool = False
    tools: tuple[ToolRung, ...] = ("native", "action", "text")
    strict_tools: bool = False
    tools_and_format: bool = False
    output_forms: tuple[OutputForm, ...] = ("response_format", "json_object", "prompt")
    shows_schema: bool = False


UNKNOWN = ServerKind("unknown")

VLLM = ServerKind(
    "vllm",
    title="vLLM",
    owners=("vllm",),
    fingerprint="vllm-",
    sends_prompt_ids=True,
    version=Where("/version", ("version",)),
    continues=True,
    token_ids=True,
    says_why=True,
    refuses_other_names=True,
    # Without --enable-auto-tool-choice and --tool-call-parser it refuses a choice of tools, and takes the tag all the same.
    tools=("native", "tags", "text"),
    strict_tools=True,
    tools_and_format=True,
    output_forms=("response_format", "structured_outputs", "prompt"),
)

LLAMA_CPP = ServerKind(
    "llama.cpp",
    title="llama.cpp",
    owners=("llamacpp",),
    header=("server", "llama.cpp"),
    version=Where("/props", ("build_info",)),
    window=Where("/props", ("default_generation_settings", "n_ctx")),
    # Its /tokenize takes other fields than vLLM's, and answers vLLM's with an empty list.
    counts_text=Counting("/tokenize", "content", "tokens"),
    counts_chat=Counting("/chat/completions/input_tokens", "messages", "input_tokens", at_root=False),
    continues=True,
    event_is_token=True,
    says_why=True,
    any_name=True,
    # It enforces no choice of native tools, and whether its chat template has them depends on the model.
    tools=("action", "text"),
    output_forms=("response_format", "json_schema", "prompt"),
)

OPENAI = ServerKind(
    "openai",
    title="OpenAI",
    owners=("system", "openai"),
    header=("openai-version", None),
    # It starts a new message after a partial one.
    continues=False,
    tools=("native",),
    tools_and_format=True,
    shows_schema=True,
)

SERVERS = (VLLM, LLAMA_CPP, OPENAI, UNKNOWN)

GRAMMARS = frozenset(
    {
        "ebnf",
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "regex",
        "structural_tag",
        "structured_outputs",
    }
)
"""Options by which some server makes an answer follow a grammar: of vLLM, llama.cpp and SGLang. `response_format` is not
among them, since it may also ask for plain text.
"""


def server_named(name: str) -> ServerKind:
    """The row of a kind.

    Raises:
        KeyError: There is none.
    """
    return {server.name: server for server in SERVERS}[name]


def server_of_owner(owner: str) -> ServerKind:
    """The kind with this name in `owned_by` of the models list."""
    return next((server for server in SERVERS if owner in server.owners), UNKNOWN)


def server_of_headers(headers: Mapping[str, str]) -> ServerKind:
    """The kind that sends such headers."""
    for server in SERVERS:
        if server.header is not None:
            name, value = server.header
            if name in headers and value in (None, headers[name]):
                return server
    return UNKNOWN


def server_of_chunk(*, prompt_ids: bool, fingerprint: str | None) -> ServerKind:
    """The kind that sends such a first chunk.

    Args:
        prompt_ids: It has the field `prompt_token_ids`.
        fingerprint: Its `system_fingerprint`.
    """
    for server in SERVERS:
        named = server.fingerprint and (fingerprint or "").startswith(server.fingerprint)
        if named or (prompt_ids and server.sends_prompt_ids):
            return server
    return UNKNOWN
