"""How a stream of the Responses API ends: a truncated one never passes for complete, a complete one is never rejected."""

from __future__ import annotations

from typing import Any

import openai
import pytest

import tframex
from tests.plays import Play, Plays, completed, created, delta, response, sse
from tests.unit.test_response_streams import Reader, numbers, reader, stored
from tframex.errors import StreamInterruptedError
from tframex.exchange._watchdog import Watchdog

__all__ = ["reader"]

STATUSES = [("completed", "completed"), ("done", "completed"), ("cancelled", "cancelled"), ("weird", "incomplete")]


def failure(number: int | None = 1, **more: Any) -> dict[str, Any]:
    numbered = {} if number is None else {"sequence_number": number}
    return {"type": "error", "code": "x", "message": "m", "param": None, **numbered, **more}


def background(number: int = 0) -> dict[str, Any]:
    return created(number, background=True)


# -- what is an end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["cut", "end"])
def test_an_error_event_that_is_followed_by_deltas_is_no_end(reader: Reader, then: Any) -> None:
    play = Play(sse(created(), failure(), delta(2), delta(3)), then)
    with Plays(play) as server, pytest.raises(StreamInterruptedError) as caught:
        reader.read(server.url)
    assert caught.value.partial == "hi hi "
    assert len(reader.seen) == 4


@pytest.mark.usefixtures("no_wait")
def test_a_stored_response_that_breaks_off_after_an_error_event_and_more_is_continued(reader: Reader) -> None:
    with Plays(Play(sse(background(), failure(), delta(2)), "cut"), Play(sse(delta(3), completed(4)))) as server:
        assert numbers(reader.read(server.url, stored)) == [0, 1, 2, 3, 4]
        assert "starting_after=2" in server.requests[1]


def test_what_follows_an_error_event_after_a_pause_is_handed_out(reader: Reader, monkeypatch: Any) -> None:
    """Only a response that has ended is given a limit of its own for what may follow."""
    monkeypatch.setattr("tframex.exchange._driver._EPILOGUE", 0.05)
    parts: Any = {"pause": 0.5, "after": sse(delta(2), completed(3))}
    with Plays(Play(sse(created(), failure()), **parts)) as server:
        assert numbers(reader.read(server.url)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("name", "status"), STATUSES)
@pytest.mark.parametrize("number", [2, None])
def test_a_response_that_says_how_it_ended_is_complete_whatever_the_event_is_called(
    reader: Reader, name: str, status: str, number: int | None
) -> None:
    end = completed(number, f"response.{name}", status)
    with Plays(Play(sse(created(), delta(1), end))) as server:
        assert len(reader.read(server.url)) == 3


@pytest.mark.parametrize("kind", ["response.created", "response.queued", "response.in_progress"])
def test_the_first_events_are_no_end_whatever_they_say(reader: Reader, kind: str) -> None:
    """Some servers repeat them with the response as it is by now."""
    with Plays(Play(sse(completed(0, kind)))) as server, pytest.raises(StreamInterruptedError):
        reader.read(server.url)


def test_the_status_of_another_response_is_no_end(reader: Reader) -> None:
    other = {"type": "x.called", "sequence_number": 1, "response": response("completed", id="resp_2")}
    with Plays(Play(sse(created(), other), "cut")) as server, pytest.raises(StreamInterruptedError):
        reader.read(server.url)


@pytest.mark.parametrize("kind", [["x"], {}, None, 5])
def test_an_event_whose_type_is_no_name_is_handed_out(reader: Reader, kind: object) -> None:
    with Plays(Play(sse(created(), {"type": kind, "sequence_number": 1}, completed(2)))) as server:
        assert len(reader.read(server.url)) == 3


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
@pytest.mark.parametrize("later", [False, True])
def test_what_follows_the_end_is_handed_out(reader: Reader, kind: str, later: bool) -> None:
    more = {"type": "rate_limits.updated", "left": 5}
    end, after = sse(created(), completed(1, kind)), sse(more)
    play = Play(end, pause=0.1, after=after) if later else Play(end + after)
    with Plays(play) as server:
        assert [event.type for event in reader.read(server.url)] == ["response.created", kind, more["type"]]


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_a_body_that_remains_open_after_the_end_ends_soon(reader: Reader, kind: str, monkeypatch: Any) -> None:
    """Also with the synchronous client, whose own limit is ten minutes."""
    monkeypatch.setattr("tframex.exchange._driver._EPILOGUE", 0.3)
    monkeypatch.setattr("tframex.exchange._sync_driver._EPILOGUE", Watchdog(0.1))
    with Plays(Play(sse(created(), completed(1, kind)), "stall")) as server:
        assert len(reader.read(server.url)) == 2


# -- errors that both libraries know -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.reasoning_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "t"},
        {"type": "response.function_call_arguments.delta", "item_id": "i", "output_index": 0, "delta": "{"},
        delta(None, logprobs=[{"token": "hi ", "logprob": -0.1, "top_logprobs": []}]),
        delta(None, novelty=1),
    ],
    ids=["reasoning", "arguments", "logprobs", "unknown field"],
)
@pytest.mark.parametrize("numbered", [True, False])
def test_once_events_have_arrived_each_failure_is_one_of_ours(
    reader: Reader, event: dict[str, Any], numbered: bool
) -> None:
    limit: Any = {"timeout": 0.3} if reader.backend == "sync" else {"idle_timeout": 0.3}
    begun = sse(created(0 if numbered else None), {**event, "sequence_number": 1} if numbered else event)
    broken = sse({"error": {"message": "boom", "type": "server_error", "code": "500"}})
    rejected = sse({"error": {"message": "boom", "type": "invalid_request_error", "code": "400"}})
    partial = event["delta"] if event["type"] == "response.output_text.delta" else ""
    with Plays(Play(begun, "stall"), Play(begun + broken), Play(begun + rejected), Play(begun, "cut")) as server:
        with pytest.raises(tframex.APIStreamTimeoutError) as timed_out:
            reader.read(server.url, **limit)
        assert timed_out.value.partial == partial
        for code in ("500", "400"):
            with pytest.raises(tframex.APIStreamInterruptedError) as caught:
                reader.read(server.url)
            assert (caught.value.partial, caught.value.code) == (partial, code)
        with pytest.raises(tframex.APIStreamInterruptedError) as cut:
            reader.read(server.url)
        assert cut.value.partial == partial


def test_an_error_before_any_event_is_that_of_the_official_client(reader: Reader) -> None:
    play = Play(sse({"error": {"message": "boom", "type": "server_error", "code": "500"}}))
    with Plays(play) as server, pytest.raises(openai.APIError) as caught:
        reader.read(server.url, max_retries=0)
    assert type(caught.value) is openai.APIError
