"""What can go wrong between a client and a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Fault"]

FaultKind = Literal[
    "cut", "end", "stall", "comments", "error", "garbage", "status", "body", "refuse", "silence", "split"
]


@dataclass(frozen=True)
class Fault:
    """One misbehaviour of `FakeVLLM`, used up by one request.

    Make them with the class methods; `at` counts bytes of the response body from its beginning.
    """

    kind: FaultKind
    at: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 1

    @classmethod
    def cut(cls, at: int = 0) -> Fault:
        """Reset the connection after `at` bytes: a crashed server, a proxy that gives up."""
        return cls("cut", at)

    @classmethod
    def end(cls, at: int = 0) -> Fault:
        """End the body properly after `at` bytes: a proxy that hides the crash behind it."""
        return cls("end", at)

    @classmethod
    def stall(cls, at: int = 0) -> Fault:
        """Send nothing more after `at` bytes and keep the connection open: a vLLM that got SIGTERM."""
        return cls("stall", at)

    @classmethod
    def comments(cls, at: int = 0) -> Fault:
        """Send nothing but keep-alive comments after `at` bytes, ten in a second."""
        return cls("comments", at)

    @classmethod
    def error(cls, at: int = 0, *, code: int = 500, message: str = "") -> Fault:
        """Send an error event after `at` bytes (at the end of the event there), then `[DONE]`: a dead engine."""
        message = message or (
            "EngineCore encountered an issue. See stack trace (above) for the root cause."
            if code == 500
            else "The engine is currently busy and cannot accept new requests. Please try again later or on a different "
            "instance."
        )
        name = "InternalServerError" if code == 500 else "Service Unavailable"
        body = f'{{"error":{{"message":"{message}","type":"{name}","param":null,"code":{code}}}}}'
        return cls("error", at, body=body.encode())

    @classmethod
    def garbage(cls, at: int = 0, body: bytes = b"data: {not json\n\n") -> Fault:
        """Put `body` into the stream after `at` bytes (at the end of the event there), and continue."""
        return cls("garbage", at, body=body)

    @classmethod
    def busy(cls, status: int = 503, *, retry_after: str | None = None) -> Fault:
        """Refuse the request with a status, with or without `Retry-After`."""
        headers = {} if retry_after is None else {"retry-after": retry_after}
        kind = {429: "Too Many Requests", 503: "Service Unavailable"}.get(status, "InternalServerError")
        body = (
            '{"error":{"message":"The engine is currently busy and cannot accept new requests. Please try again later or '
            f'on a different instance.","type":"{kind}","param":null,"code":{status}}}}}'
        )
        return cls("status", status=status, body=body.encode(), headers={"content-type": "application/json", **headers})

    @classmethod
    def answer(cls, body: bytes, *, status: int = 200, content_type: str = "application/json") -> Fault:
        """Answer with your own body."""
        return cls("body", status=status, body=body, headers={"content-type": content_type})

    @classmethod
    def html(cls) -> Fault:
        """Answer with a web page: a login page, a wrong URL."""
        return cls.answer(b"<!DOCTYPE html><html><body>Sign in</body></html>", content_type="text/html; charset=utf-8")

    @classmethod
    def refuse(cls) -> Fault:
        """Close the connection instead of answering."""
        return cls("refuse")

    @classmethod
    def silence(cls) -> Fault:
        """Take the request and never answer."""
        return cls("silence")

    @classmethod
    def split(cls, size: int = 1) -> Fault:
        """Send the body in pieces of `size` bytes, through the middle of characters and lines. Nothing is lost."""
        return cls("split", size=size)
