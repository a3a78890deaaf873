"""How a stream of the Responses API ends: a truncated one never passes for complete, a complete one is never rejected."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

import tframex
from tests.plays import Play, Plays, completed, created, delta, response, sse
from tests.unit.test_response_streams import Reader, numbers, reader, stored, text_of
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


# -- replays -----------------------------------------------------------------------------------------------------------


def keepalive(number: int | None) -> dict[str, Any]:
    return {"type": "keepalive"} if number is None else {"type": "keepalive", "sequence_number": number}


BEGUN = sse(background(), delta(1, "A"), delta(2, "B"))
FRESH = [sse(background()), b""]


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("first", FRESH, ids=["first event", "none"])
def test_a_replay_that_is_counted_from_zero_loses_nothing_silently(reader: Reader, first: bytes) -> None:
    start = 1 if first else 0
    rest = [delta(start + number, text) for number, text in enumerate("CDEF")]
    replay = first + sse(*rest, completed(start + 4))
    with Plays(Play(BEGUN, "cut"), Play(replay)) as server:
        with pytest.raises(StreamInterruptedError, match="some are lost") as caught:
            reader.read(server.url, stored)
        assert (caught.value.partial, text_of(reader.seen)) == ("AB", "AB")


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("then", ["cut", "end"])
def test_a_complete_replay_may_itself_break_off(reader: Reader, then: Any) -> None:
    rest = sse(delta(3, "C"), completed(4))
    with Plays(Play(BEGUN, "cut"), Play(sse(background(), delta(1, "A")), then), Play(BEGUN + rest)) as server:
        assert text_of(reader.read(server.url, stored)) == "ABC"


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("number", [None, 0, 3, 9])
def test_an_error_event_of_a_replay_is_handed_out_whatever_its_number(reader: Reader, number: int | None) -> None:
    with Plays(Play(BEGUN, "cut"), Play(sse(failure(number)))) as server:
        assert [event.type for event in reader.read(server.url, stored)][-1] == "error"


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("number", [None, 2])
def test_keepalive_events_are_handed_out_and_left_out_of_the_numbers(
    reader: Reader, counted: bool, number: int | None
) -> None:
    """Before the break and after it, whether or not the server counts them."""
    following = 3 if counted and number is not None else 2
    before = sse(background(), delta(1, "A"), keepalive(number), delta(following, "B"))
    ping = keepalive(None if number is None else following + 1)
    after = following + (2 if counted and number is not None else 1)
    rest = sse(ping, delta(after, "C"), completed(after + 1))
    with Plays(Play(before, "cut"), Play(rest)) as server:
        events = reader.read(server.url, stored)
        assert f"starting_after={following}" in server.requests[1]
    assert text_of(events) == "ABC"
    assert [event.type for event in events].count("keepalive") == 2


def test_keepalive_events_are_no_sign_of_an_answer(reader: Reader) -> None:
    limit: Any = {"timeout": 0.4} if reader.backend == "sync" else {"idle_timeout": 0.4}
    play = Play(sse(created()), "stall", every=(0.1, sse(keepalive(None))))
    with Plays(play) as server, pytest.raises(tframex.APIStreamTimeoutError):
        reader.read(server.url, **limit)


@pytest.mark.usefixtures("no_wait")
def test_a_retrieval_that_falls_silent_is_repeated(reader: Reader) -> None:
    """Before its headers and after them: it makes the server generate nothing."""
    limit: Any = {"timeout": 0.4} if reader.backend == "sync" else {"idle_timeout": 0.4}
    rest = Play(sse(delta(3, "C"), completed(4)))
    with Plays(Play(BEGUN, "cut"), Play(then="stall"), Play(status=0), rest) as server:
        assert text_of(reader.read(server.url, stored, max_retries=3, **limit)) == "ABC"
        assert len(server.requests) == 4


@pytest.mark.usefixtures("no_wait")
def test_a_refusal_to_send_the_rest_is_in_the_error_with_the_response_it_is_about(reader: Reader) -> None:
    refusal = Play(b'{"error":{"message":"gone for good","code":404}}', status=404)
    for then in ("cut", "end"):
        with Plays(Play(BEGUN, then), refusal) as server, pytest.raises(StreamInterruptedError) as caught:
            reader.read(server.url, stored)
        assert "resp_1" in str(caught.value)
        assert "gone for good" in str(caught.value)
        assert caught.value.partial == "AB"


def after_the_last(client: Any) -> Any:
    return client.responses.retrieve("resp_1", stream=True, starting_after=4)


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n\n"])
@pytest.mark.parametrize("retries", [0, 2])
def test_nothing_follows_the_last_event_of_a_response_that_has_ended(reader: Reader, body: bytes, retries: int) -> None:
    """The endpoint is asked what has become of it."""
    empty = [Play(body)] * (2 if retries else 1)
    with Plays(*empty, Play(json.dumps(response("completed")).encode())) as server:
        assert reader.read(server.url, after_the_last, max_retries=retries) == []
        assert server.requests[-1] == "GET /v1/responses/resp_1"


@pytest.mark.usefixtures("no_wait")
def test_nothing_is_not_the_end_of_a_response_that_is_in_progress(reader: Reader) -> None:
    states = [Play(json.dumps(response()).encode()), Play(b"{broken"), Play(b"")]
    for state in states:
        with Plays(Play(), Play(), state, Play(), Play()) as server, pytest.raises(openai.APIConnectionError):
            reader.read(server.url, after_the_last)
