"""Every fault, and what becomes of it: the table that the documentation shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import openai
import pytest

import tframex
from tests.conftest import ROOT, USER, Colour
from tframex import sync
from tframex.errors import (
    ModelError,
    ModelStatusError,
    ModelTimeoutError,
    ResponseFormatError,
    StreamInterruptedError,
)
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault
from tframex.testing._http import Hangup, HTTPConnection

pytestmark = pytest.mark.usefixtures("no_wait")

TEXT = "1. Red: “naïve” 静か. \U0001f469\U0001f3fd‍\U0001f680\n\nTwo  spaces\tand an end."
MIDDLE = 2000


class Row(NamedTuple):
    name: str
    faults: list[Fault | None]
    outcome: str
    error: type[ModelError] | None = None
    dialect: Any = "vllm"
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed


ROWS = [
    Row("connection refused once", [Fault.refuse()], "retried"),
    Row("503 without Retry-After", [Fault.busy(503)], "retried"),
    Row("503 with Retry-After", [Fault.busy(503, retry_after="0")], "retried"),
    Row("429 with Retry-After", [Fault.busy(429, retry_after="0")], "retried"),
    Row("500", [Fault.busy(500)], "retried"),
    Row("503 as the first event of a 200", [Fault.error(0, code=503)], "retried"),
    Row("reset before the first event", [Fault.cut(10)], "retried"),
    Row("clean end before the first event", [Fault.end(10)], "retried"),
    Row("reset in the middle", [Fault.cut(MIDDLE)], "continued"),
    Row("clean end in the middle", [Fault.end(MIDDLE)], "continued"),
    Row("reset in the middle, llama.cpp", [Fault.cut(MIDDLE)], "continued", dialect="llama.cpp"),
    Row("error event in the middle", [Fault.error(MIDDLE)], "continued"),
    Row("garbage in the middle", [Fault.garbage(MIDDLE)], "continued"),
    Row("silence in the middle", [Fault.stall(MIDDLE)], "continued", settings={"idle_timeout": 0.2}),
    Row(
        "nothing but comments from the middle on", [Fault.comments(MIDDLE)], "continued", settings={"idle_timeout": 0.3}
    ),
    Row("bytes one by one, through characters and lines", [Fault.split(1)], "unharmed"),
    Row("two resets and a 503", [Fault.cut(MIDDLE), Fault.busy(503), Fault.cut(900)], "continued"),
    Row("reset in the middle, OpenAI", [Fault.cut(MIDDLE)], "error", StreamInterruptedError, dialect="openai"),
    Row(
        "reset, with resume='never'", [Fault.cut(MIDDLE)], "error", StreamInterruptedError, settings={"resume": "never"}
    ),
    Row("clean end, with n=2", [Fault.end(MIDDLE)], "error", StreamInterruptedError, settings={"n": 2}),
    Row("503 again and again", [Fault.busy(503)] * 3, "error", ModelStatusError),
    Row("no answer at all", [Fault.silence()], "error", ModelTimeoutError, settings={"first_token_timeout": 0.2}),
    Row(
        "too slow for total_timeout", [Fault.stall(MIDDLE)], "error", ModelTimeoutError, settings={"total_timeout": 0.3}
    ),
    Row("a web page", [Fault.html()], "error", ResponseFormatError),
    Row(
        "garbage instead of a stream", [Fault.answer(b"hello", content_type="text/plain")], "error", ResponseFormatError
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_a_fault(colour: Colour, row: Row) -> None:
    """As a stream that is handed out as it comes: nothing can be taken back."""

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            pieces: list[str] = []
            completion: Any = None
            error: Exception | None = None
            try:
                async for event in model.stream(USER, **row.settings):
                    if hasattr(event, "evidence"):
                        completion = event
                    elif event.index == 0:
                        pieces.append(event.content)
            except ModelError as exc:
                error = exc
        if row.error is not None:
            assert type(error) is row.error
            assert error.partial == "".join(pieces)
            assert TEXT.startswith(error.partial)
            return
        assert error is None
        assert "".join(pieces) == completion.text == TEXT
        assert (completion.resumes > 0) == (row.outcome == "continued")
        assert (completion.retries > 0) == (row.outcome == "retried") or "503" in row.name

    with FakeVLLM(TEXT, faults=row.faults, dialect=row.dialect) as server:
        colour.run(body)


def test_the_table_in_the_docs_is_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["| fault | outcome of a stream |", "| --- | --- |"]
    for row in ROWS:
        outcome = f"`{row.error.__name__}`, with the text so far" if row.error else row.outcome
        lines.append(f"| {row.name} | {outcome} |")
    table = "\n".join(lines)
    with capsys.disabled():
        print(f"\n{table}\n")
    assert table in (ROOT / "docs" / "guides" / "resuming.md").read_text(encoding="utf-8")


def test_call_starts_over_where_nothing_can_be_continued(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            completion = await model.call(USER)
            assert (completion.text, completion.resumes, completion.retries) == (TEXT, 0, 1)
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            assert (await model.call(USER, tools=tools)).text == TEXT
            assert (await model.call(USER, response_format={"type": "json_object"})).retries == 1

    with FakeVLLM(TEXT, dialect="openai", faults=[Fault.cut(MIDDLE), None] * 3) as server:
        colour.run(body)


def test_an_endpoint_nobody_knows_is_not_trusted_to_continue(colour: Colour) -> None:
    """It may ignore the flags and start over: half an answer must not be glued to another one."""

    class Unknown(FakeVLLM):
        def _lookup(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            status, reply = super()._lookup(path, body)
            if path == "/v1/models":
                reply["data"][0]["owned_by"] = "somebody"
            return status, reply

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            with pytest.raises(StreamInterruptedError) as caught:
                [piece async for piece in model.call_stream(USER)]
            assert TEXT.startswith(caught.value.partial)
            server.faults.append(Fault.cut(MIDDLE))
            assert (await model.call(USER)).text == TEXT
        assert len([record for record in server.requests if record.path == "/v1/models"]) == 1

    with Unknown(TEXT, dialect="openai", faults=[Fault.cut(MIDDLE)]) as server:
        colour.run(body)


def hung_up_in_time(server: FakeVLLM, left: float) -> None:
    deadline = time.monotonic() + 5
    while server.requests[-1].hung_up is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert server.requests[-1].hung_up is not None
    assert server.requests[-1].hung_up - left < 0.1


def break_out(model: VLLMModel) -> Callable[[], Any]:
    async def body() -> None:
        from contextlib import aclosing

        async with aclosing(model.call_stream(USER)) as pieces:
            async for _ in pieces:
                break

    return body


def cancel(model: VLLMModel) -> Callable[[], Any]:
    async def body() -> None:
        with anyio.move_on_after(0.3):
            await model.call(USER)

    return body


def time_out(model: VLLMModel) -> Callable[[], Any]:
    async def body() -> None:
        with pytest.raises(ModelTimeoutError):
            await model.call(USER, total_timeout=0.3)

    return body


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("leave", [break_out, cancel, time_out])
def test_the_server_sees_at_once_that_the_reader_left(backend: str, leave: Callable[[VLLMModel], Any]) -> None:
    """A sync `break` and Ctrl-C are in tests/unit/test_bridge.py."""

    async def body() -> None:
        model = VLLMModel("fake", server.url, "k")
        await model.call(USER, max_tokens=1)  # the first call of a process may take long to be sent
        await leave(model)()
        left = time.monotonic()
        await anyio.to_thread.run_sync(hung_up_in_time, server, left)
        await model.close_client()

    with FakeVLLM("word " * 1000, delay=0.01) as server:
        anyio.run(body, backend=backend)


def test_twenty_streams_in_a_row_use_one_connection(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            for _ in range(20):
                assert "".join([piece async for piece in model.call_stream(USER)]) == TEXT

    with FakeVLLM(TEXT) as server:
        colour.run(body)
        assert server.connections == 1


@pytest.mark.parametrize("kind", ["asyncio", "trio", "sync"])
def test_twenty_streams_of_a_drop_in_client_use_one_connection(kind: str) -> None:
    messages: Any = USER

    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            for _ in range(20):
                stream = await client.chat.completions.create(model="fake", messages=messages, stream=True)
                assert [chunk async for chunk in stream]

    with FakeVLLM(TEXT) as server:
        if kind == "sync":
            with tframex.OpenAI(base_url=server.url, api_key="k") as client:
                for _ in range(20):
                    assert list(client.chat.completions.create(model="fake", messages=messages, stream=True))
        else:
            anyio.run(body, backend=kind)
        assert server.connections == 1


def test_a_dying_server_is_not_stormed() -> None:
    with FakeVLLM(faults=lambda _: Fault.busy(503)) as server, sync.VLLMModel("fake", server.url, "k") as model:
        for _ in range(60):
            with pytest.raises(ModelStatusError):
                model.call(USER, max_retries=5)
        assert len(server.requests) <= 60 + 50


def test_what_a_silent_server_had_sent_is_on_the_error(colour: Colour) -> None:
    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k", resume="never", idle_timeout=0.2)) as model:
            with pytest.raises((ModelTimeoutError, StreamInterruptedError)) as caught:
                await model.call(USER)
        assert len(caught.value.partial) > 5
        assert TEXT.startswith(caught.value.partial)

    with FakeVLLM(TEXT, faults=[Fault.stall(MIDDLE)]) as server:
        colour.run(body)


def test_an_interrupted_drop_in_stream_raises_what_users_of_openai_catch() -> None:
    with FakeVLLM(TEXT, faults=[Fault.end(MIDDLE)]) as server:
        client = tframex.OpenAI(base_url=server.url, api_key="k", resume="never")
        messages: Any = USER
        with client, pytest.raises(openai.APIConnectionError) as caught:
            list(client.chat.completions.create(model="fake", messages=messages, stream=True))
    assert isinstance(caught.value, tframex.APIStreamInterruptedError)
    assert isinstance(caught.value, StreamInterruptedError)
    assert len(caught.value.partial) > 5
    assert TEXT.startswith(caught.value.partial)


def test_a_reader_whose_leaving_a_write_notices_first_has_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's write may fail before its watcher has read the end of the connection."""
    written = 0

    async def fails_in_the_middle(connection: HTTPConnection, data: bytes) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise Hangup
        await connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    monkeypatch.setattr(HTTPConnection, "chunk", fails_in_the_middle)

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k", resume="never", max_retries=0) as model:
            with pytest.raises(ModelError):
                await model.call([{"role": "user", "content": "x"}])

    with FakeVLLM() as server:
        anyio.run(body)
        assert [record.hung_up is not None for record in server.completions()] == [True]
