"""A server that sends one event a write at the pace of a real one, for thousands of streams; a process of its own.

An event loop with a task for each stream is at its limit at a tenth of this. Here one thread goes through the streams in
turn and sends bytes that were encoded before. The streams are spread over the period, so that writes come evenly and not
all in one moment. It knows how late it is: a client cannot be faster than its server.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks._scripts import Script, script_of

__all__ = ["Load", "PacedServer", "serve"]

SLOT = 0.00025
"""Seconds between two moments at which events are sent."""
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Load:
    """What the server has done since it was last asked.

    Attributes:
        cpu: Seconds of CPU that it used.
        lag: By how many seconds the last event of a stream was late, for each stream.
        ended: When the last bytes of each stream were sent, or it was cut, by the `user` of its request; `seed` says after
            how many tokens it is cut.
        closed: When the client was seen to have closed a connection in the middle, likewise.
    """

    cpu: float = 0.0
    lag: list[float] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    closed: dict[str, float] = field(default_factory=dict)


@dataclass
class Connection:
    """A client's connection; a stream while it has a place in the wheel."""

    socket: socket.socket
    received: bytes = b""
    unsent: bytes = b""
    number: str = ""
    script: Script = field(default_factory=lambda: script_of(""))
    tokens: int = 0
    sent: int = 0
    cut: int | None = None
    slot: int | None = None


class Wheel:
    """Serves for ever, in one thread.

    Args:
        pace: Seconds between two tokens of a stream.
    """

    def __init__(self, pace: float) -> None:
        self._slots: list[list[Connection]] = [[] for _ in range(max(1, round(pace / SLOT)))]
        self._step = pace / len(self._slots)
        self._streams = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._load, self._cpu = Load(), 0.0
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until the process ends."""
        due, turn = time.monotonic(), 0
        while True:
            if not self._streams:
                self._accept_and_read(None)
                due = time.monotonic()
                continue
            due, turn = due + self._step, (turn + 1) % len(self._slots)
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            if turn % 4 == 0:
                self._accept_and_read(0)
            if connections := self._slots[turn]:
                # It loses members on the way.
                for connection in list(connections):
                    self._advance(connection, due)

    def _accept_and_read(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                self._read(key.data)
                continue
            with suppress(BlockingIOError):
                while True:
                    accepted, _ = self._listener.accept()
                    accepted.setblocking(False)
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(accepted, selectors.EVENT_READ, Connection(accepted))

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            if connection.slot is not None:
                self._load.closed[connection.number] = time.monotonic()
            self._drop(connection)
            return
        connection.received += data
        head, end, rest = connection.received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        if end and len(rest) >= length:
            connection.received = rest[length:]
            if head.startswith(b"GET"):
                self._report(connection)
            else:
                connection.script = script_of(head.split(b" ", 2)[1].decode())
                self._begin(connection, json.loads(rest[:length]))

    def _report(self, connection: Connection) -> None:
        load, self._load = self._load, Load()
        cpu = time.process_time()
        load.cpu, self._cpu = cpu - self._cpu, cpu
        body = json.dumps(asdict(load)).encode()
        connection.socket.setblocking(True)
        connection.socket.sendall(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        self._drop(connection)

    def _begin(self, connection: Connection, body: dict[str, Any]) -> None:
        tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 500
        connection.number, connection.cut = str(body.get("user", "")), body.get("seed")
        connection.tokens, connection.sent = tokens, 0
        self._send(connection, connection.script.first)
        connection.slot = min(range(len(self._slots)), key=lambda number: len(self._slots[number]))
        self._slots[connection.slot].append(connection)
        self._streams += 1

    def _advance(self, connection: Connection, due: float) -> None:
        connection.sent = sent = connection.sent + 1
        if sent == connection.cut:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._load.ended[connection.number] = time.monotonic()
            self._drop(connection)
        elif sent < connection.tokens:
            self._send(connection, connection.script.tokens[sent % len(connection.script.tokens)])
        else:
            self._leave(connection)
            self._load.ended[connection.number] = now = time.monotonic()
            self._load.lag.append(now - due)
            self._send(connection, connection.script.last(connection.tokens))
            assert not connection.unsent, "a client does not read; the kernel keeps megabytes for each"

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.unsent:
            data = connection.unsent + data
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # It is closed; reading from it will tell.
        connection.unsent = data[sent:]

    def _leave(self, connection: Connection) -> None:
        if connection.slot is not None:
            self._slots[connection.slot].remove(connection)
            connection.slot = None
            self._streams -= 1

    def _drop(self, connection: Connection) -> None:
        self._leave(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()


@dataclass(frozen=True)
class PacedServer:
    """The running server.

    Attributes:
        url: The base URL of its API.
    """

    url: str

    def load(self) -> Load:
        """What it has done since it was last asked."""
        with urllib.request.urlopen(f"{self.url}/load", timeout=60) as response:  # noqa: S310 # it is ours
            return Load(**json.load(response))


@contextmanager
def serve(pace: float) -> Iterator[PacedServer]:
    """Run the server.

    Args:
        pace: Seconds between two tokens of a stream.
    """
    command = [sys.executable, "-m", "tests.benchmarks._paced", str(pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield PacedServer(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
        finally:
            process.kill()


if __name__ == "__main__":
    wheel = Wheel(float(sys.argv[1]))
    print(wheel.port, flush=True)
    wheel.run()
