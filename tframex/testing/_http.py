"""As much HTTP/1.1 as a fake server needs."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["HTTPConnection", "Hangup", "Request"]


class Hangup(Exception):  # noqa: N818 - an event, not an error
    """The client has closed the connection."""


class Request:
    """A request line (`target` is the path with its query), its headers (names in lower case) and its body."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        self.method = method
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query))
        self.headers = headers
        self.body = body


class HTTPConnection:
    """One client's connection; it notices immediately when the client leaves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    async def request(self) -> Request | None:
        """The next request, or None: the client has closed the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if not await self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            if not await self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Request(method, target, headers, body)

    async def _more(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    async def left(self) -> None:
        """Return when the client has closed the connection."""
        while await self._more():
            pass

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            Hangup: The client is gone.
        """
        if self._writer.is_closing():
            raise Hangup
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise Hangup from None

    async def head(self, status: int, headers: dict[str, str]) -> None:
        """Send the status line and headers."""
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a complete response."""
        common = {"date": "Sun, 22 Nov 2026 10:22:22 GMT", "server": "uvicorn", "content-length": str(len(body))}
        await self.head(status, {**common, "content-type": "application/json", **(headers or {})})
        await self.write(body)

    async def chunk(self, data: bytes) -> None:
        """Send one piece of a chunked body."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """End a chunked body."""
        await self.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Cut the connection as a crash does: what is still on its way is lost, and the client gets a reset."""
        sock: Any = self._writer.get_extra_info("socket")
        with suppress(OSError, AttributeError):  # it may be closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection properly."""
        self._writer.close()
