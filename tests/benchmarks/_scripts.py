"""The bytes of a streamed answer of each API, as vLLM 0.32.0 sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from tests.benchmarks._server import COMMON, FIRST, HEAD, LAST, TOKENS, chunk

__all__ = ["Script", "script_of"]

WORDS = (b" colour", b" number")
_CREATED = (
    b'{"response":{"id":"resp_bb28cb0c8b9ad2d9","created_at":1795615500,"incomplete_details":null,"instructions":null,'
    b'"metadata":null,"model":"smol","object":"response","output":[],"parallel_tool_calls":true,"temperature":0.0,'
    b'"tool_choice":"none","tools":[],"top_p":1.0,"background":false,"max_output_tokens":500,"max_tool_calls":null,'
    b'"previous_response_id":null,"prompt":null,"reasoning":null,"service_tier":"auto","status":"in_progress",'
    b'"text":null,"top_logprobs":null,"truncation":"disabled","usage":null,"user":null},"sequence_number":%d,"type":"%b"}'
)
_ITEM = (
    b'{"item":{"id":"msg_9cd754b28cd94434","content":[],"role":"assistant","status":"in_progress","type":"message",'
    b'"phase":null},"output_index":0,"sequence_number":2,"type":"response.output_item.added"}'
)
_PART = (
    b'{"content_index":0,"item_id":"msg_9cd754b28cd94434","output_index":0,"part":{"annotations":[],"text":"",'
    b'"type":"output_text","logprobs":[]},"sequence_number":3,"type":"response.content_part.added"}'
)
_DELTA = (
    b'{"content_index":0,"delta":"%b","item_id":"msg_9cd754b28cd94434","logprobs":[],"output_index":0,'
    b'"sequence_number":%d,"type":"response.output_text.delta"}'
)
_TEXT = (
    b'data: {"id":"cmpl-a0d369972761f8d6","object":"text_completion","created":1795615521,"model":"smol","choices":['
    b'{"index":0,"text":"%b","logprobs":null,"finish_reason":%b,"stop_reason":null,"prompt_token_ids":null,'
    b'"token_ids":null}]}\n\n'
)


@dataclass(frozen=True)
class Script:
    """The bytes of an answer, each in HTTP chunks.

    Attributes:
        first: The head, and what comes before the first token.
        tokens: The events of the tokens; they begin again behind the last.
        last: The event of the last token and all that follows it, for a number of tokens.
    """

    first: bytes
    tokens: list[bytes]
    last: Callable[[int], bytes]


def _event(data: bytes) -> bytes:
    kind: str = json.loads(data)["type"]
    return chunk(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))


def _end(*events: bytes) -> bytes:
    return b"".join(events) + b"0\r\n\r\n"


def _usage(tokens: int) -> bytes:
    usage = {"prompt_tokens": 34, "total_tokens": 34 + tokens, "completion_tokens": tokens}
    return json.dumps(usage, separators=(",", ":")).encode()


def _last_of_chat(tokens: int) -> bytes:
    usage = COMMON + b'"choices":[],"usage":' + _usage(tokens) + b"}\n\n"
    return _end(chunk(LAST), chunk(usage), chunk(b"data: [DONE]\n\n"))


def _last_of_text(tokens: int) -> bytes:
    return _end(chunk(_TEXT % (b" but", b'"length"')), chunk(b"data: [DONE]\n\n"))


@lru_cache
def _last_of_response(tokens: int) -> bytes:
    text = b"".join(WORDS[number % 2] for number in range(1, tokens)) + b" but"
    part = b'{"annotations":[],"text":"%b","type":"output_text","logprobs":null}' % text
    item = (
        b'{"id":"msg_9cd754b28cd94434","content":[%b],"role":"assistant","status":"completed","type":"message"}' % part
    )
    at = b'"content_index":0,"item_id":"msg_9cd754b28cd94434","output_index":0'
    number = 3 + tokens
    completed = json.loads(_CREATED % (number + 4, b"response.completed"))
    usage = {"input_tokens": 34, "output_tokens": tokens, "total_tokens": 34 + tokens}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    completed["response"].update(output=[json.loads(item)], status="completed", usage={**usage, **details})
    return _end(
        _event(_DELTA % (b" but", number)),
        _event(
            b'{%b,"logprobs":[],"sequence_number":%d,"text":"%b","type":"response.output_text.done"}'
            % (at, number + 1, text)
        ),
        _event(b'{%b,"part":%b,"sequence_number":%d,"type":"response.content_part.done"}' % (at, part, number + 2)),
        _event(
            b'{"item":%b,"output_index":0,"sequence_number":%d,"type":"response.output_item.done"}' % (item, number + 3)
        ),
        _event(json.dumps(completed, separators=(",", ":")).encode()),
    )


_CHAT = Script(HEAD + chunk(FIRST), [chunk(event) for event in TOKENS], _last_of_chat)
_COMPLETION = Script(HEAD, [chunk(_TEXT % (word, b"null")) for word in WORDS], _last_of_text)


@lru_cache
def _response() -> Script:
    opening = [
        _event(_CREATED % (0, b"response.created")),
        _event(_CREATED % (1, b"response.in_progress")),
        _event(_ITEM),
        _event(_PART),
    ]
    # The first token that is asked for is number 1.
    tokens = [_event(_DELTA % (WORDS[number % 2], 3 + number)) for number in range(2000)]
    return Script(HEAD + b"".join(opening), tokens, _last_of_response)


def script_of(path: str) -> Script:
    """What answers a request to a path."""
    if path.endswith("/responses"):
        return _response()
    return _CHAT if path.endswith("/chat/completions") else _COMPLETION
