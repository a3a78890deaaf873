"""A server that sends what it is told: bodies byte by byte, and what becomes of the connection after them."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

__all__ = ["Play", "Plays", "completed", "created", "delta", "sse"]


@dataclass(frozen=True)
class Play:
    """The answer to one request.

    Attributes:
        body: What is sent.
        then: The body ends properly, the connection is lost, or nothing more is sent.
        status: The status; 0: nothing is sent.
        pause: Seconds before `after` is sent.
        after: More of the body.
        every: Seconds, and what is sent each time instead of nothing.
    """

    body: bytes = b""
    then: Literal["end", "cut", "stall"] = "end"
    status: int = 200
    pause: float = 0.0
    after: bytes = b""
    every: tuple[float, bytes] | None = None


class Plays:
    """Answers requests with one play after the other.

    Args:
        plays: They are used up in order; a request after the last is refused with a 500.

    Attributes:
        requests: The request lines, such as `GET /v1/responses/r?stream=true`.
    """

    def __init__(self, *plays: Play) -> None:
        self.requests: list[str] = []
        self._plays = list(plays)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Plays:
        self._listener.settimeout(0.05)
        self._start(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, run: Any, *args: Any) -> None:
        thread = threading.Thread(target=run, args=args)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            connection.settimeout(0.05)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while self._answer(connection):
                    pass
            except OSError:
                return

    def _answer(self, connection: socket.socket) -> bool:
        head, _, body = self._received(connection, b"", b"\r\n\r\n").partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if length:
            self._received(connection, body, int(length[0].split(b":")[1]))
        self.requests.append(head.split(b" HTTP")[0].decode())
        play = self._plays.pop(0) if self._plays else Play(b'{"error":"no play is left"}', status=500)
        if not play.status:
            self._received(connection, b"", b"never")
        kind = b"text/event-stream" if play.status == 200 and not play.body.startswith(b"{") else b"application/json"
        head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (play.status, kind)
        connection.sendall(head + _chunk(play.body))
        if play.after and not self._over.wait(play.pause):
            connection.sendall(_chunk(play.after))
        if play.then == "end":
            connection.sendall(b"0\r\n\r\n")
        elif play.every is not None:
            while not self._over.wait(play.every[0]):
                connection.sendall(_chunk(play.every[1]))
        elif play.then == "stall":
            self._received(connection, b"", b"never")
        return play.then == "end"

    def _received(self, connection: socket.socket, data: bytes, until: bytes | int) -> bytes:
        while (until not in data) if isinstance(until, bytes) else len(data) < until:
            try:
                more = connection.recv(65536)
            except TimeoutError:
                if not self._over.is_set():
                    continue
                more = b""
            if not more:
                raise OSError("the client has left")
            data += more
        return data


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def sse(*events: dict[str, Any]) -> bytes:
    """Events of the Responses API."""
    return b"".join(f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def response(status: str = "in_progress", **more: Any) -> dict[str, Any]:
    """A response."""
    return {"id": "resp_1", "object": "response", "model": "m", "status": status, "output": [], **more}


def created(number: int | None = 0, **more: Any) -> dict[str, Any]:
    """The first event."""
    return _numbered(number, {"type": "response.created", "response": response(**more)})


def delta(number: int | None, text: str = "hi ", **more: Any) -> dict[str, Any]:
    """An event with text."""
    where = {"item_id": "i", "output_index": 0, "content_index": 0, "logprobs": []}
    return _numbered(number, {"type": "response.output_text.delta", **where, "delta": text, **more})


def completed(number: int | None, kind: str = "response.completed", status: str = "completed") -> dict[str, Any]:
    """The last event."""
    return _numbered(number, {"type": kind, "response": response(status)})


def _numbered(number: int | None, event: dict[str, Any]) -> dict[str, Any]:
    return event if number is None else {**event, "sequence_number": number}
