"""An answer on its way to the client, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

from tframex.testing._http import Hangup, HTTPConnection
from tframex.testing._record import Record
from tframex.testing.faults import Fault

__all__ = ["Delivery"]


class Delivery:
    """Sends the answer to one request for a completion, or the fault in its place.

    Args:
        connection: Where the client waits.
        record: The request; what was generated for it is counted there.
        fault: What goes wrong, or None.
        headers: Those of the dialect.
    """

    def __init__(
        self, connection: HTTPConnection, record: Record, fault: Fault | None, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._record = record
        self._fault = fault
        self._headers = headers

    async def stream(self, events: Iterator[tuple[bytes, int]], coalesce: int, delay: Callable[[], float]) -> None:
        """Send the events of a completion, `coalesce` in one write, `delay()` seconds apart."""
        await self._connection.head(
            200,
            {
                "date": "Sun, 22 Nov 2026 10:22:22 GMT",
                "server": "uvicorn",
                "content-type": "text/event-stream; charset=utf-8",
                "transfer-encoding": "chunked",
                **self._headers,
            },
        )
        watcher = asyncio.create_task(self._connection.left())
        watcher.add_done_callback(lambda task: None if task.cancelled() else self._hung_up())
        try:
            await self._write(events, coalesce, delay, watcher)
        finally:
            watcher.cancel()
            await asyncio.wait({watcher})

    async def replace(self, fault: Fault) -> None:
        """Let a fault take the place of the complete answer."""
        if fault.kind == "refuse":
            self._connection.reset()
            raise Hangup
        if fault.kind == "silence":
            await self._until_left()
        await self._connection.respond(fault.status, fault.body, {**self._headers, **fault.headers})

    async def _until_left(self) -> None:
        await self._connection.left()
        self._hung_up()
        raise Hangup

    def _hung_up(self) -> None:
        if self._record.hung_up is None:
            self._record.hung_up = time.monotonic()

    async def _write(
        self,
        events: Iterator[tuple[bytes, int]],
        coalesce: int,
        delay: Callable[[], float],
        watcher: asyncio.Task[None],
    ) -> None:
        fault = self._fault
        sent = 0
        pending = b""
        waiting = 0
        for data, tokens in events:
            if watcher.done():
                raise Hangup
            if fault is not None and fault.kind in ("cut", "end", "stall", "comments") and sent + len(data) > fault.at:
                await self._send(pending + data[: fault.at - sent], fault)
                await self._misbehave(fault, watcher)
                return
            self._record.tokens += tokens
            sent += len(data)
            pending += data
            waiting += 1
            if waiting >= coalesce or delay():
                await self._send(pending, fault)
                pending, waiting = b"", 0
                if delay():
                    await asyncio.wait({watcher}, timeout=delay())
            if fault is not None and fault.kind in ("error", "garbage") and sent >= fault.at:
                if fault.kind == "error":
                    await self._connection.chunk(pending + b"data: " + fault.body + b"\n\ndata: [DONE]\n\n")
                    await self._connection.end()
                    return
                pending += fault.body
                fault = None
        await self._send(pending, fault)
        # The answer is complete: a client that closes the connection now did not leave early.
        watcher.cancel()
        await asyncio.wait({watcher})
        await self._connection.end()

    async def _send(self, data: bytes, fault: Fault | None) -> None:
        size = fault.size if fault is not None and fault.kind == "split" else len(data)
        try:
            for start in range(0, len(data), size or 1):
                await self._connection.chunk(data[start : start + size])
        except Hangup:
            # A write may fail before the watcher has seen the end.
            self._hung_up()
            raise

    async def _misbehave(self, fault: Fault, watcher: asyncio.Task[None]) -> None:
        if fault.kind == "cut":
            # Let what was sent arrive before the reset destroys it.
            await asyncio.sleep(0.01)
            self._connection.reset()
            raise Hangup
        if fault.kind == "end":
            await self._connection.end()
            return
        while not watcher.done():
            if fault.kind == "comments":
                await self._connection.chunk(b": ping\n\n")
            await asyncio.wait({watcher}, timeout=0.1)
        raise Hangup
