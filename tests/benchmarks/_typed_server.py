"""A server that answers with a JSON document of as many tokens as were asked for; run as a separate process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from tests.benchmarks._server import BURST, COMMON, FIRST, HEAD, chunk

__all__ = ["document", "serve"]

_TOKEN = 4
_ENDS = (
    chunk(COMMON + b'"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop"}]}\n\n')
    + chunk(COMMON + b'"choices":[],"usage":{"prompt_tokens":34,"total_tokens":34,"completion_tokens":0}}\n\n')
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


@lru_cache
def document(tokens: int) -> str:
    """Rows of a table, in so many tokens of four characters."""
    rows: list[dict[str, object]] = []
    size = 0
    while size < tokens * _TOKEN - 120:
        number = len(rows)
        rows.append({"name": f"Part {number}", "count": number % 90, "note": 'made of steel \u2014 "strong"'})
        size += len(json.dumps(rows[-1], ensure_ascii=False)) + 2
    text = json.dumps({"rows": rows, "title": ""}, ensure_ascii=False)
    return f'{text[:-2]}{"x" * (tokens * _TOKEN - len(text))}"}}'


@lru_cache
def _answer(tokens: int) -> list[bytes]:
    """The writes."""
    text = document(tokens)
    events = [
        chunk(
            COMMON
            + b'"choices":[{"index":0,"delta":{"content":%b},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
            % json.dumps(text[start : start + _TOKEN], ensure_ascii=False).encode()
        )
        for start in range(0, len(text), _TOKEN)
    ]
    return [b"".join(events[start : start + BURST]) for start in range(0, len(events), BURST)]


async def _respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line[:15] == b"content-length:"), 0)
        body = json.loads(await reader.readexactly(length)) if length else {}
        if not body:
            listed = (
                b'{"object":"list","data":[{"id":"smol","object":"model","owned_by":"vllm","max_model_len":65536}]}'
            )
            header = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(listed)
            writer.write(header + listed)
            continue
        writer.write(HEAD + chunk(FIRST))
        for data in _answer(body["max_tokens"] - 1):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(_ENDS)


async def _main() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _respond(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def serve() -> Iterator[str]:
    """Run the server; gives the base URL of its API."""
    command = [sys.executable, "-m", "tests.benchmarks._typed_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_main())
