"""A server that sends the bytes of a vLLM as fast as they are taken, or at a fixed pace; run as a separate process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

__all__ = ["serve"]

HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 10:22:22 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
COMMON = (
    b'data: {"id":"chatcmpl-9b650ef01f2d241d","object":"chat.completion.chunk","created":1795342942,"model":"smol",'
)
FIRST = (
    COMMON
    + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],'
    + b'"prompt_token_ids":null,"prompt_text":null}\n\n'
)
_MODELS = b'{"object":"list","data":[{"id":"smol","object":"model","owned_by":"vllm","max_model_len":32768}]}'
MODELS = b"content-length: %d\r\n\r\n%b" % (len(_MODELS), _MODELS)
# Two in turn: one client takes a hundred equal events for a model that loops.
TOKENS = [
    COMMON
    + b'"choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
    % word
    for word in (b" colour", b" number")
]
LAST = (
    COMMON
    + b'"choices":[{"index":0,"delta":{"content":" but"},"logprobs":null,"finish_reason":"length","stop_reason":null,'
    + b'"token_ids":null}]}\n\n'
)


# A call of a tool with six tokens of arguments.
CALL = [
    COMMON
    + b'"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"id":"chatcmpl-tool-82eae35bf3ba80a2",'
    + b'"type":"function","index":0,"function":{"name":"weather"}}]},"logprobs":null,"finish_reason":null,'
    + b'"token_ids":null}]}\n\n',
    *(
        COMMON
        + b'"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]},'
        b'"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n' % piece
        for piece in (b'{\\"', b"city", b'\\":', b' \\"', b"Bern", b'\\"}')
    ),
    COMMON
    + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null,'
    + b'"token_ids":null}]}\n\n',
]
BURST = 8


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Handler(asyncio.Protocol):
    """One connection."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open = asyncio.Event()
        self._open.set()

    def pause_writing(self) -> None:
        self._open.clear()

    def resume_writing(self) -> None:
        self._open.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        if end and head.startswith(b"GET"):
            # The models list, which an agent asks for once.
            self._buffer = rest
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + MODELS)
        elif end and len(rest) >= length:
            body = json.loads(rest[:length])
            tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 500
            self._buffer = rest[length:]
            calls = bool(body.get("tools")) and body["messages"][-1]["role"] != "tool"
            answering = self._call() if calls else self._answer(tokens)
            self._task = asyncio.get_running_loop().create_task(answering)

    async def _call(self) -> None:
        write = self._transport.write
        write(HEAD + chunk(FIRST) + b"".join(map(chunk, CALL)) + chunk(COMMON + b'"choices":[],"usage":' + _usage(49)))
        write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    async def _answer(self, tokens: int) -> None:
        write = self._transport.write
        write(HEAD + chunk(FIRST))
        # Without a pace, events go out eight at a time: one by one, the server would be slower than the faster clients, and
        # the more a client had to wait, the smaller and costlier its reads would be.
        burst = 1 if self._pace else BURST
        for sent in range(0, tokens - 1, burst):
            await self._open.wait()
            write(_words(sent % 2, min(burst, tokens - 1 - sent)))
            await asyncio.sleep(self._pace)
        write(chunk(LAST) + chunk(COMMON + b'"choices":[],"usage":' + _usage(tokens)))
        write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _usage(tokens: int) -> bytes:
    usage = {"prompt_tokens": 34, "total_tokens": 34 + tokens, "completion_tokens": tokens}
    return json.dumps(usage).encode() + b"}\n\n"


@lru_cache
def _words(first: int, count: int) -> bytes:
    return b"".join(chunk(TOKENS[number % 2]) for number in range(first, first + count))


async def main(pace: float) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Handler(pace), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def serve(pace: float = 0.0) -> Iterator[str]:
    """Run the server; gives the base URL of its API.

    Args:
        pace: Seconds between two tokens of a stream.
    """
    command = [sys.executable, "-m", "tests.benchmarks._server", str(pace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.stdin.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
