"""A server whose every byte and pause a test decides, with or without TLS."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Peer", "certificate", "scripted_server"]

_RESET = struct.pack("ii", 1, 0)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A new certificate for 127.0.0.1 and its key, as files."""
    key, made = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*make, *subject], check=True, capture_output=True)
    return made, key


class Peer:
    """The server's side of one streamed answer.

    Args:
        connection: Where to write; the request has been read.
        compressed: The body is compressed with gzip.
    """

    def __init__(self, connection: socket.socket, *, compressed: bool = False) -> None:
        self.connection = connection
        self._gzip = zlib.compressobj(wbits=31) if compressed else None
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
        encoding = b"content-encoding: gzip\r\n" if compressed else b""
        connection.sendall(head + encoding + b"transfer-encoding: chunked\r\n\r\n")

    def send(self, *parts: bytes) -> None:
        """Each part in an HTTP chunk, all of them in one write."""
        if self._gzip is not None:
            parts = tuple(self._gzip.compress(part) + self._gzip.flush(zlib.Z_SYNC_FLUSH) for part in parts)
        self.connection.sendall(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts))

    def say(self, *texts: str) -> None:
        """An event for each text, all of them in one write."""
        self.send(*map(self.event, texts))

    @staticmethod
    def event(text: str, finish: str | None = None) -> bytes:
        """The event of a chunk."""
        choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [choice]}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def finish(self) -> None:
        """The end of the answer and of the body."""
        self.send(self.event("", "stop"), b"data: [DONE]\n\n")
        self.connection.sendall(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection off."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()


@contextmanager
def scripted_server(script: Callable[[Any], None], *, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Run a server that calls `script` with the connection of each request for a completion; the URL of its API.

    Args:
        script: Writes the answer, in a thread; the connection is closed afterwards, without any further word.
        tls: The certificate and its key.
    """
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(accepted: socket.socket) -> None:
        with suppress(OSError), accepted:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = accepted if context is None else context.wrap_socket(accepted, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536) or _gone()
                head, _, body = head.partition(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                while len(body) < length:
                    body += connection.recv(65536) or _gone()
                if lines[0].startswith(b"post"):
                    script(connection)
                else:
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(10)


def _gone() -> bytes:
    raise ConnectionError
