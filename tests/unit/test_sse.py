"""Bytes in, events out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tframex.exchange._sse import EventTooLargeError, SSEDecoder

LINES = st.sampled_from(
    [
        "",
        "data: one",
        "data:two",
        "data:  three",
        "data",
        "data:",
        ": ping",
        "event: error",
        "id: 7",
        "unknown: x",
        "data: é静\U0001f600",
    ]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def decode(data: bytes, *cuts: int) -> list[bytes]:
    decoder = SSEDecoder()
    events = []
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        events += decoder.feed(data[start:end])
    return events


@given(st.lists(st.tuples(LINES, ENDS), max_size=20), st.booleans(), st.data())
def test_any_split_of_the_bytes_gives_the_same_events(
    lines: list[tuple[str, str]], bom: bool, data: st.DataObject
) -> None:
    body = ("\ufeff" if bom else "").encode() + "".join(line + end for line, end in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    complete = decode(body)
    assert decode(body, *cuts) == complete
    assert decode(body, *range(1, len(body))) == complete


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b": ping\n\n", []),
        (b"event: error\ndata: x\nid: 1\nretry: 2\n\n", [b"x"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: half", []),
        (b"data: half\n", []),
    ],
)
def test_the_specification_s_cases(body: bytes, events: list[bytes]) -> None:
    assert decode(body) == events


def test_an_event_over_the_limit_is_an_error_that_says_so() -> None:
    with pytest.raises(EventTooLargeError, match="larger than 100 bytes"):
        SSEDecoder(limit=100).feed(b"data: " + b"x" * 101 + b"\n")


def test_a_line_without_an_end_cannot_take_all_memory() -> None:
    decoder = SSEDecoder(limit=1000)
    with pytest.raises(EventTooLargeError):
        for _ in range(1001):
            decoder.feed(b"x")


def test_many_small_events_never_reach_the_limit() -> None:
    decoder = SSEDecoder(limit=100)
    assert sum(len(decoder.feed(b"data: " + b"x" * 50 + b"\n\n")) for _ in range(100)) == 100


def test_comments_are_counted_so_that_a_ping_is_known_from_silence() -> None:
    decoder = SSEDecoder()
    decoder.feed(b": ping\n\n: ping\n\n")
    assert decoder.comments == 2
