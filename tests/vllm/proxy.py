"""A proxy before a real server that cuts its answers."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CuttingProxy"]


class CuttingProxy:
    """Passes requests on, and resets the connection after a number of events of an answer.

    Args:
        port: Where the server is.
        ids: Let requests ask for token ids; without them answers are continued with `continue_final_message`.
    """

    def __init__(self, port: int, *, ids: bool = True) -> None:
        self.cuts: list[int] = []
        """After how many events the next answers are cut."""
        self.resets = 0
        """How many answers were cut. One that ends before its cut is not: a busy server puts several tokens in an event."""
        self.bodies: list[dict[str, Any]] = []
        """What completions and responses were asked for; nothing for a response that is retrieved."""
        self._upstream = port
        self._ids = ids
        self._port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The URL of the API behind it."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stopped is not None
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            cut = None
            if "/completions" in lines[0] or "/responses" in lines[0]:
                asked = json.loads(body) if body else {}
                self.bodies.append(asked)
                cut = self.cuts.pop(0) if self.cuts else None
                if asked and not self._ids:
                    body = json.dumps({k: v for k, v in asked.items() if k != "return_token_ids"}).encode()
            kept = [line for line in lines[:-2] if not line.lower().startswith(("content-length:", "connection:"))]
            head = "\r\n".join([*kept, f"content-length: {len(body)}", "connection: close", "", ""]).encode("latin-1")
            await self._pass_on(head + body, reader, writer, cut)
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            writer.close()

    async def _pass_on(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: int | None
    ) -> None:
        upstream, sender = await asyncio.open_connection("127.0.0.1", self._upstream)
        left = asyncio.create_task(reader.read(1))
        try:
            sender.write(request)
            events = 0
            while True:
                reading = asyncio.create_task(upstream.read(65536))
                await asyncio.wait({reading, left}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    # The client has hung up: so does the proxy.
                    reading.cancel()
                    return
                data = reading.result()
                if not data:
                    return
                place = 0
                while cut is not None and (found := data.find(b"\n\n", place)) >= 0:
                    place, events = found + 2, events + 1
                    if events == cut:
                        writer.write(data[:place])
                        await writer.drain()
                        # Let what was sent arrive before the reset destroys it.
                        await asyncio.sleep(0.02)
                        writer.transport.abort()
                        self.resets += 1
                        return
                writer.write(data)
                await writer.drain()
        finally:
            left.cancel()
            sender.close()
