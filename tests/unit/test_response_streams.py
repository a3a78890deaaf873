"""`client.responses` of `tframex.OpenAI` and `tframex.AsyncOpenAI`: streams as the official ones, cheap and complete."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, get_args, get_origin

import anyio
import anyio.to_thread
import httpx2
import openai
import pytest
from openai.types.responses import ResponseStreamEvent, ResponseTextDeltaEvent

import tframex
from tests.conftest import ROOT
from tframex.client import AsyncEventStream, EventStream
from tframex.client._delta_events import decode_deltas, make_delta
from tframex.errors import StreamInterruptedError
from tframex.testing import Answer, FakeVLLM, Fault

TEXT = 'Red, “naïve” and \\ "blue".\n静か \U0001f600'
LONG = " ".join(f"word {number}" for number in range(200))
ASKED: Any = {"model": "fake", "input": "Name three colours.", "stream": True}
STORED: Any = {**ASKED, "background": True}
SSE = "text/event-stream"
CAPTURED = sorted((ROOT / "tests" / "data").glob("*-response*.txt"))


class Reader:
    """Reads the events of a stream with a drop-in client of one colour."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._kind: Any = tframex.OpenAI if backend == "sync" else tframex.AsyncOpenAI

    def read(
        self,
        url: str,
        ask: Callable[[Any], Any] = lambda client: client.responses.create(**ASKED),
        until: Callable[[list[Any]], bool] | None = None,
        **options: Any,
    ) -> list[Any]:
        """The events, as far as `until` and with what follows closing the stream there."""
        self.seen: list[Any] = []
        if self.backend == "sync":
            with self._kind(base_url=url, api_key="k", **options) as client:
                stream = ask(client)
                for event in stream:
                    self.seen.append(event)
                    if until is not None and until(self.seen):
                        stream.close()
        else:
            anyio.run(self._read, url, ask, until, options, backend=self.backend)
        return self.seen

    async def _read(self, url: str, ask: Any, until: Any, options: Any) -> None:
        async with self._kind(base_url=url, api_key="k", **options) as client:
            stream = await ask(client)
            async for event in stream:
                self.seen.append(event)
                if until is not None and until(self.seen):
                    await stream.close()


@pytest.fixture(params=["asyncio", "trio", "sync"])
def reader(request: pytest.FixtureRequest) -> Reader:
    return Reader(request.param)


def stored(client: Any) -> Any:
    return client.responses.create(**STORED)


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def bodies(server: FakeVLLM, **asked: Any) -> bytes:
    """The body of an undisturbed stream."""
    return httpx2.post(f"{server.url}/responses", json={**ASKED, **asked}, timeout=30).content


def numbers(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


# -- the objects -------------------------------------------------------------------------------------------------------


def both_read(server: FakeVLLM) -> tuple[list[Any], list[Any]]:
    found = []
    for kind in (openai.OpenAI, tframex.OpenAI):
        with kind(base_url=server.url, api_key="k") as client:
            found.append(list(client.responses.create(**ASKED)))
    return found[0], found[1]


def assert_same(ours: list[Any], official: list[Any]) -> None:
    assert [type(event) for event in ours] == [type(event) for event in official]
    assert [event.model_dump() for event in ours] == [event.model_dump() for event in official]
    assert [event.to_json() for event in ours] == [event.to_json() for event in official]
    assert [event.model_fields_set for event in ours] == [event.model_fields_set for event in official]
    assert [list(vars(event)) for event in ours] == [list(vars(event)) for event in official]
    assert [event.__pydantic_extra__ for event in ours] == [event.__pydantic_extra__ for event in official]


@pytest.mark.parametrize("dialect", ["vllm", "openai"])
def test_the_events_are_those_of_the_official_client(dialect: Any) -> None:
    """Field by field, unknown fields included."""
    with FakeVLLM(Answer(TEXT, "A thought"), dialect=dialect) as server:
        official, ours = both_read(server)
    assert_same(ours, official)
    assert text_of(ours) == TEXT


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_captured_bytes_give_the_events_of_the_official_client(path: Any) -> None:
    """vLLM, also with log probabilities; and llama.cpp, whose events have no numbers and few of the fields."""
    with FakeVLLM(faults=[Fault.answer(path.read_bytes(), content_type=SSE)] * 2) as server:
        official, ours = both_read(server)
    assert_same(ours, official)
    assert ours[-1].type == "response.completed"


def _deltas() -> list[dict[str, Any]]:
    """One event of each kind that has a delta."""
    values: dict[Any, Any] = {int: 3, str: "a “b”", list: []}
    found = []
    for kind in get_args(get_args(ResponseStreamEvent)[0]):
        if "delta" in kind.model_fields:
            fields = {name: info.annotation for name, info in kind.model_fields.items()}
            event = {name: values.get(get_origin(a) or a) for name, a in fields.items()}
            delta = event["delta"] or {"stdout": "x", "stderr": None}
            found.append({**event, "delta": delta, "type": get_args(fields["type"])[0]})
    return found


@pytest.mark.parametrize("event", _deltas(), ids=lambda event: event["type"])
def test_each_kind_of_delta_is_the_object_of_the_official_client(event: dict[str, Any]) -> None:
    """Also with the padding that OpenAI adds, and with a field that is unknown."""
    variants = [event, {**event, "obfuscation": "xyz"}, {**event, "novelty": [1]}, {**event, "item_id": None}]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(variant)}\n\n" for variant in variants)
    body += 'data: {"type":"error","message":"m","code":null,"param":null,"sequence_number":9}\n\n'
    with FakeVLLM(faults=[Fault.answer(body.encode(), content_type=SSE)] * 2) as server:
        official, ours = both_read(server)
    assert_same(ours, official)


def test_nearly_all_kinds_of_deltas_are_made_the_fast_way() -> None:
    slow = {event["type"] for event in _deltas() if decode_deltas(json.dumps(event).encode()) is None}
    # Older versions of the official client do not have them.
    assert slow <= {"response.shell_call_command.delta", "response.shell_call_output_content.delta"}


def test_two_events_share_nothing_that_can_be_changed() -> None:
    lines = [line[6:] for line in CAPTURED[-1].read_bytes().splitlines() if line.startswith(b'data: {"content_index"')]
    (decoded,) = decode_deltas(lines[1]) or [None]
    first, second = make_delta(decoded), make_delta(decoded)
    assert isinstance(first, ResponseTextDeltaEvent)
    assert isinstance(second, ResponseTextDeltaEvent)
    first.logprobs.append(None)  # type: ignore[arg-type] # of no matter
    first.model_fields_set.clear()
    assert second.logprobs == []
    assert second.model_fields_set


def test_a_stream_has_what_the_official_one_has() -> None:
    with FakeVLLM(TEXT) as server, tframex.OpenAI(base_url=server.url, api_key="k") as client:
        stream = client.responses.create(**ASKED)
        assert isinstance(stream, EventStream)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        with stream as same:
            assert next(same).type == "response.created"
            assert next(iter(same)).type == "response.in_progress"
        assert list(stream) == []
        with client.responses.with_streaming_response.create(**ASKED) as response:
            assert text_of(list(response.parse())) == TEXT
        raw = client.responses.with_raw_response.create(**ASKED)
        assert text_of(list(raw.parse())) == TEXT
        copy = client.responses.with_streaming_response
        with copy.create(**ASKED) as response:
            assert b"".join(response.iter_bytes()).count(b"output_text.delta") > 2
        timed = client.with_options(timeout=5)
        assert text_of(list(timed.responses.create(**ASKED))) == TEXT
        plain: Any = client.responses.create(model="fake", input="Name three colours.")
        assert plain.output_text == TEXT


def test_an_asynchronous_stream_has_what_the_official_one_has() -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            stream: Any = await client.responses.create(**ASKED)
            assert isinstance(stream, AsyncEventStream)
            assert isinstance(stream, openai.AsyncStream)
            async with stream as same:
                assert (await same.__anext__()).type == "response.created"
            await stream.close()
            async with client.responses.with_streaming_response.create(**ASKED) as response:
                assert text_of([event async for event in await response.parse()]) == TEXT

    with FakeVLLM(TEXT) as server:
        anyio.run(body)


# -- complete or an error ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.end(2500), Fault.cut(2500), Fault.garbage(2500), Fault.error(2500)])
@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_response_that_breaks_off_is_an_error_that_both_libraries_know(
    reader: Reader, fault: Fault, resume: str
) -> None:
    """It is not asked for a second time, since nothing is stored."""
    with FakeVLLM(TEXT, faults=[fault]) as server:
        with pytest.raises(openai.APIConnectionError) as caught:
            reader.read(server.url, resume=resume, max_retries=2)
        assert len(server.requests) == 1
    assert isinstance(caught.value, tframex.APIStreamInterruptedError)
    assert caught.value.partial == text_of(reader.seen)
    assert TEXT.startswith(caught.value.partial)
    assert caught.value.partial


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_the_text_so_far_is_in_the_error_however_its_events_look(reader: Reader, path: Any) -> None:
    body = path.read_bytes()
    fault = Fault.answer(body[: body.rindex(b"event: response.completed")], content_type=SSE)
    with FakeVLLM(faults=[fault]) as server, pytest.raises(StreamInterruptedError) as caught:
        reader.read(server.url)
    assert caught.value.partial == text_of(reader.seen)
    assert caught.value.partial


@pytest.mark.parametrize("at", [0, 100, 700, 1500])
def test_a_response_that_ends_before_its_text_is_an_error(reader: Reader, at: int) -> None:
    with FakeVLLM(TEXT, faults=[Fault.end(at)]) as server:
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url)
        assert len(server.requests) == 1


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_done_mark_is_no_evidence_where_the_server_reports_how_a_response_ends(reader: Reader, resume: str) -> None:
    with FakeVLLM(TEXT) as server:
        body = bodies(server)
        begun = body[: body.index(b"event: response.completed")]
        server.faults.append(Fault.answer(begun + b"data: [DONE]\n\n", content_type=SSE))
        with pytest.raises(StreamInterruptedError) as caught:
            reader.read(server.url, resume=resume)
    assert caught.value.partial == TEXT


def test_a_done_mark_is_evidence_where_the_server_reports_nothing(reader: Reader) -> None:
    """With nothing before it, it is taken for an answer only by the official client, and with `resume="never"`."""
    mark = b"data: [DONE]\n\n"
    delta = b'data: {"type":"response.output_text.delta","delta":"hi"}\n\n'
    with FakeVLLM(faults=[Fault.answer(body, content_type=SSE) for body in (delta + mark, mark, mark)]) as server:
        assert text_of(reader.read(server.url)) == "hi"
        assert reader.read(server.url, resume="never") == []
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url)


def _ending(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed", "error"])
def test_each_event_that_ends_a_response_is_evidence(reader: Reader, kind: str) -> None:
    end = {"type": kind, "sequence_number": 2, "response": {"id": "r"}, "code": "x", "message": "m", "param": None}
    body = _ending({"type": "response.created", "sequence_number": 0, "response": {"id": "r"}}) + _ending(end)
    with FakeVLLM(faults=[Fault.answer(body, content_type=SSE)]) as server:
        assert [event.type for event in reader.read(server.url)] == ["response.created", kind]


def test_what_follows_an_error_or_a_failure_is_handed_out_too(reader: Reader) -> None:
    body = _ending({"type": "error", "sequence_number": 0, "code": "x", "message": "m", "param": None})
    kinds = ["response.failed", "response.incomplete", "response.completed"]
    for number, kind in enumerate(kinds, start=1):
        body += _ending({"type": kind, "sequence_number": number, "response": {"id": "r"}})
    with FakeVLLM(faults=[Fault.answer(body, content_type=SSE)]) as server:
        assert [event.type for event in reader.read(server.url)] == ["error", *kinds]


def test_an_error_in_the_stream_keeps_its_body(reader: Reader) -> None:
    """Also one that follows the first event."""
    for fault in (Fault.error(2500), Fault.error(0)):
        with FakeVLLM(TEXT, faults=[fault]) as server, pytest.raises(openai.APIError) as caught:
            reader.read(server.url)
        assert (str(caught.value.code), caught.value.type) == ("500", "InternalServerError")
        assert isinstance(caught.value, tframex.APIStreamInterruptedError)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.busy(429), openai.RateLimitError),
        (Fault.busy(503), openai.InternalServerError),
        (Fault.answer(b'{"error":"Unauthorized"}', status=401), openai.AuthenticationError),
        (Fault.html(), openai.APIConnectionError),
    ],
)
def test_errors_are_those_a_user_of_openai_catches(reader: Reader, fault: Fault, error: type[Exception]) -> None:
    with FakeVLLM(faults=[fault]) as server, pytest.raises(error):
        reader.read(server.url, max_retries=0)


def test_a_busy_endpoint_is_asked_again_by_the_official_client(reader: Reader) -> None:
    with FakeVLLM(TEXT, faults=[Fault.busy(503, retry_after="0"), Fault.busy(429, retry_after="0")]) as server:
        assert text_of(reader.read(server.url)) == TEXT


def test_bytes_one_by_one_and_many_at_a_time_give_the_same_events(reader: Reader) -> None:
    with FakeVLLM(TEXT, coalesce=7, faults=[Fault.split(1), None]) as server:
        first, second = reader.read(server.url), reader.read(server.url)
    assert text_of(first) == text_of(second) == TEXT
    assert numbers(first) == numbers(second) == list(range(len(first)))


def test_a_stream_that_falls_silent_is_a_timeout(reader: Reader) -> None:
    options: Any = {"timeout": 0.3} if reader.backend == "sync" else {"idle_timeout": 0.3}
    with FakeVLLM(TEXT, faults=[Fault.stall(2500)]) as server, pytest.raises(openai.APITimeoutError) as caught:
        reader.read(server.url, **options)
    assert isinstance(caught.value, tframex.APIStreamTimeoutError)
    assert caught.value.partial


def test_a_body_that_stays_open_after_the_last_event_ends_soon(reader: Reader) -> None:
    with FakeVLLM(TEXT) as server:
        server.faults.append(Fault.stall(len(bodies(server)) - 1))
        limit: dict[str, Any] = {"timeout": 0.5} if reader.backend == "sync" else {"idle_timeout": 0.5}
        started = time.monotonic()
        with pytest.raises(StreamInterruptedError):
            # Half of the last event is missing.
            reader.read(server.url, **limit)
        complete = bodies(server) + b": ping\n\n"
        server.faults.append(Fault.answer(complete, content_type=SSE))
        assert text_of(reader.read(server.url)) == TEXT
        assert time.monotonic() - started < 60


# -- stored responses --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("dialect", ["vllm", "openai"])
@pytest.mark.parametrize("kind", ["cut", "end", "garbage", "error"])
def test_a_stored_response_is_continued_after_the_last_event(reader: Reader, dialect: Any, kind: str) -> None:
    with FakeVLLM(LONG, dialect=dialect) as server:
        whole = reader.read(server.url, stored)
        for at in (900, 2500, 9000, 20000):
            server.requests.clear()
            server.faults.append(getattr(Fault, kind)(at))
            events = reader.read(server.url, stored)
            assert numbers(events) == numbers(whole)
            assert text_of(events) == LONG
            first, second = server.responses()
            assert (first.method, second.method) == ("POST", "GET")
            assert second.query["stream"] == "true"
            assert int(second.query["starting_after"]) in numbers(events)
            assert second.path == f"/v1/responses/{events[0].response.id}"


@pytest.mark.usefixtures("no_wait")
def test_a_stored_response_is_continued_as_often_as_it_breaks(reader: Reader) -> None:
    with FakeVLLM(LONG, faults=[Fault.cut(9000), Fault.end(5000), Fault.cut(5000), Fault.busy(503)]) as server:
        events = reader.read(server.url, stored)
        assert numbers(events) == list(range(len(events)))
        assert text_of(events) == LONG
        assert [record.method for record in server.responses()] == ["POST", "GET", "GET", "GET", "GET"]


@pytest.mark.usefixtures("no_wait")
def test_a_stored_response_that_falls_silent_is_continued(reader: Reader) -> None:
    options: Any = {"timeout": 0.4} if reader.backend == "sync" else {"idle_timeout": 0.4}
    with FakeVLLM(LONG, faults=[Fault.stall(9000)]) as server:
        assert text_of(reader.read(server.url, stored, **options)) == LONG


@pytest.mark.parametrize(
    ("asked", "stores"), [({"background": False}, True), ({"store": True}, True), ({"background": None}, True)]
)
def test_what_is_not_generated_in_the_background_is_not_continued(
    reader: Reader, asked: dict[str, Any], stores: bool
) -> None:
    with FakeVLLM(LONG, faults=[Fault.cut(9000)], stores_responses=stores) as server:
        with pytest.raises(StreamInterruptedError):
            reader.read(server.url, lambda client: client.responses.create(**{**ASKED, **asked}))
        assert len(server.requests) == 1


def test_never_resuming_sends_one_request(reader: Reader) -> None:
    for fault in (Fault.cut(9000), Fault.end(9000), Fault.cut(0), Fault.end(0)):
        with FakeVLLM(LONG, faults=[fault]) as server:
            with pytest.raises(openai.APIConnectionError) as caught:
                reader.read(server.url, stored, resume="never")
            assert len(server.requests) == 1
        assert isinstance(caught.value.__cause__, httpx2.TransportError) is (fault.kind == "cut")


@pytest.mark.usefixtures("no_wait")
def test_an_endpoint_that_has_lost_the_response_gives_the_first_error(reader: Reader) -> None:
    gone = Fault.answer(b'{"error":{"message":"Response not found.","code":404}}', status=404)
    with FakeVLLM(LONG, faults=[Fault.cut(9000), gone]) as server:
        with pytest.raises(StreamInterruptedError, match="in the middle of the answer") as caught:
            reader.read(server.url, stored)
        assert len(server.requests) == 2
    assert LONG.startswith(caught.value.partial)


@pytest.mark.usefixtures("no_wait")
def test_events_that_are_repeated_are_handed_out_once(reader: Reader) -> None:
    """An endpoint may ignore where it is asked to begin."""
    with FakeVLLM(LONG) as server:
        complete = bodies(server, background=True)
        server.faults += [Fault.cut(9000), Fault.answer(complete, content_type=SSE)]
        events = reader.read(server.url, stored)
    assert numbers(events) == list(range(len(events)))
    assert text_of(events) == LONG


@pytest.mark.usefixtures("no_wait")
def test_events_that_are_missing_are_noticed(reader: Reader) -> None:
    with FakeVLLM(LONG) as server:
        complete = bodies(server, background=True)
        late = complete[complete.index(b"event: ", 15000) :]
        server.faults += [Fault.cut(9000), Fault.answer(late, content_type=SSE)]
        with pytest.raises(StreamInterruptedError, match="some are lost"):
            reader.read(server.url, stored)
        seen = numbers(reader.seen)
        assert seen == list(range(len(seen)))
        assert len(server.responses()) == 3  # one of them to get the bytes


def test_a_response_whose_events_have_no_numbers_in_order_is_not_continued(reader: Reader) -> None:
    with FakeVLLM(LONG) as server:
        body = bodies(server, background=True)
        for number in (b"0", b"null", b'"4"'):
            odd = body.replace(b'"sequence_number":4,', b'"sequence_number":%b,' % number)
            server.requests.clear()
            server.faults.append(Fault.answer(odd[:9000], content_type=SSE))
            with pytest.raises(StreamInterruptedError):
                reader.read(server.url, stored)
            assert len(server.requests) == 1
            assert text_of(reader.seen)


@pytest.mark.usefixtures("no_wait")
def test_a_response_that_is_retrieved_is_continued_too(reader: Reader) -> None:
    def ask(client: Any) -> Any:
        return client.responses.retrieve(name, stream=True, starting_after=3, include=["message.output_text.logprobs"])

    with FakeVLLM(LONG) as server:
        name = reader.read(server.url, stored)[0].response.id
        server.requests.clear()
        server.faults += [Fault.cut(9000), Fault.end(0), Fault.cut(3000)]
        events = reader.read(server.url, ask, max_retries=2)
        assert numbers(events) == list(range(4, 4 + len(events)))
        assert text_of(events) == LONG
        assert [record.method for record in server.responses()] == ["GET"] * 4
        assert all(record.query["include[]"] for record in server.responses())
        assert server.responses()[0].query["starting_after"] == "3"
        server.requests.clear()
        server.faults += [Fault.end(0)]
        assert text_of(reader.read(server.url, ask)) == LONG
        assert [record.query["starting_after"] for record in server.responses()] == ["3", "3"]


@pytest.mark.usefixtures("no_wait")
def test_a_continued_request_keeps_headers_and_drops_the_idempotency_key(reader: Reader) -> None:
    def ask(client: Any) -> Any:
        return client.responses.create(
            **STORED,
            include=["reasoning.encrypted_content"],
            stream_options={"include_obfuscation": False},
            extra_headers={"x-trace": "1", "Idempotency-Key": "once"},
            extra_query={"tenant": "t"},
        )

    with FakeVLLM(LONG, faults=[Fault.end(9000)]) as server:
        assert text_of(reader.read(server.url, ask)) == LONG
        first, second = server.responses()
    assert (first.headers["x-trace"], second.headers["x-trace"]) == ("1", "1")
    assert first.headers["idempotency-key"] == "once"
    assert "idempotency-key" not in second.headers
    assert second.headers["authorization"] == "Bearer k"
    assert (second.query["tenant"], second.query["include[]"]) == ("t", "reasoning.encrypted_content")
    assert second.query["include_obfuscation"] == "false"
    assert second.body == {}


def test_an_interval_loses_no_event(reader: Reader) -> None:
    """They come together; each has its own number."""
    with FakeVLLM(LONG, delay=0.001, faults=[None, Fault.cut(9000)]) as server:
        for _ in range(2):
            events = reader.read(server.url, stored, interval=0.1)
            assert numbers(events) == list(range(len(events)))
            assert text_of(events) == LONG


# -- leaving early -----------------------------------------------------------------------------------------------------


def test_closing_a_stream_closes_its_connection(reader: Reader) -> None:
    with FakeVLLM(LONG, delay=0.005) as server:
        events = reader.read(server.url, until=lambda events: len(events) == 8)
        assert len(events) == 8
        deadline = time.monotonic() + 10
        while server.requests[0].hung_up is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.requests[0].hung_up is not None


@pytest.mark.usefixtures("no_wait")
def test_a_stream_that_is_closed_after_it_was_continued_gives_nothing_more(reader: Reader) -> None:
    with FakeVLLM(LONG, faults=[Fault.end(9000)]) as server:
        counts: list[int] = []

        def resumed(events: list[Any]) -> bool:
            if len(server.responses()) == 2:
                counts.append(len(events))
            return bool(counts)

        events = reader.read(server.url, stored, resumed)
        assert len(events) == counts[0]
        assert len(server.responses()) == 2


@pytest.mark.usefixtures("no_wait")
def test_closing_from_another_task_ends_the_wait_of_a_reader(reader: Reader) -> None:
    async def body() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, api_key="k") as client, anyio.create_task_group() as group:
            stream: Any = await client.responses.create(**STORED)

            async def read() -> None:
                async for event in stream:
                    events.append(event)

            group.start_soon(read)
            await anyio.to_thread.run_sync(wait)
            await stream.close()

    def wait() -> None:
        while len(server.responses()) < 2:
            time.sleep(0.01)

    def main() -> None:
        with tframex.OpenAI(base_url=server.url, api_key="k") as client:
            stream = client.responses.create(**STORED)
            thread = threading.Thread(target=lambda: events.extend(stream))
            thread.start()
            wait()
            stream.close()
            thread.join(10)
            assert not thread.is_alive()

    events: list[Any] = []
    with FakeVLLM(LONG, faults=[Fault.end(9000), Fault.stall(2500)]) as server:
        if reader.backend == "sync":
            main()
        else:
            anyio.run(body, backend=reader.backend)
        assert len(server.responses()) == 2


# -- the helper --------------------------------------------------------------------------------------------------------


class Helper:
    """`client.responses.stream(...)` in one colour: its events, and the final response."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def read(self, url: str, *, leave_after: int | None = None, **asked: Any) -> tuple[list[Any], Any]:
        if self._backend == "sync":
            with tframex.OpenAI(base_url=url, api_key="k") as client, client.responses.stream(**asked) as stream:
                if leave_after is not None:
                    return [next(stream) for _ in range(leave_after)], None
                return list(stream), stream.get_final_response()
        found: tuple[list[Any], Any] = anyio.run(self._read, url, leave_after, asked, backend=self._backend)
        return found

    async def _read(self, url: str, leave_after: int | None, asked: Any) -> tuple[list[Any], Any]:
        client = tframex.AsyncOpenAI(base_url=url, api_key="k")
        async with client, client.responses.stream(**asked) as stream:
            if leave_after is not None:
                # A loop that is left would leave the official generator around it open, which trio complains about.
                return [await stream.__anext__() for _ in range(leave_after)], None
            return [event async for event in stream], await stream.get_final_response()


@pytest.fixture
def helper(reader: Reader) -> Helper:
    return Helper(reader.backend)


@pytest.mark.usefixtures("no_wait")
def test_the_helper_streams_and_is_continued(helper: Helper) -> None:
    asked: dict[str, Any] = {"model": "fake", "input": "Name three colours.", "background": True}
    with FakeVLLM(LONG, faults=[None, Fault.cut(9000)]) as server:
        plain, final = helper.read(server.url, **asked)
        assert (text_of(plain), final.output_text) == (LONG, LONG)
        events, final = helper.read(server.url, **asked)
        assert (text_of(events), final.output_text) == (LONG, LONG)
        assert numbers(events) == numbers(plain)
        assert events[20].snapshot == plain[20].snapshot
        name = final.id
        events, _ = helper.read(server.url, response_id=name, starting_after=30)
        assert numbers(events) == numbers(plain)[31:]


def test_the_helper_raises_what_the_stream_raises(helper: Helper) -> None:
    with FakeVLLM(LONG, faults=[Fault.end(9000)]) as server, pytest.raises(StreamInterruptedError):
        helper.read(server.url, model="fake", input="q")


def test_leaving_the_helper_closes_the_connection(helper: Helper) -> None:
    with FakeVLLM(LONG, delay=0.005) as server:
        helper.read(server.url, leave_after=10, model="fake", input="q")
        deadline = time.monotonic() + 10
        while server.requests[0].hung_up is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.requests[0].hung_up is not None
