"""A server on the loopback interface that answers like a vLLM, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from tframex.errors import ConfigurationError
from tframex.servers import server_named
from tframex.testing._delivery import Delivery
from tframex.testing._engine import Answer, Engine, RequestError
from tframex.testing._http import Hangup, HTTPConnection, Request
from tframex.testing._lookups import look_up
from tframex.testing._record import Record
from tframex.testing._responses import Responses
from tframex.testing._vocabulary import split_words
from tframex.testing.faults import Fault

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FakeVLLM"]

_PROSE = (
    "1. Red: the most obvious colour, but it's also the most versatile.\n"
    "2. Blue — a colour of the sky: “calm”, naïve, 静か. \U0001f469\U0001f3fd‍\U0001f680 \U0001f600\n\n"
    "3. Green; the rest follows.  Two spaces, a tab\tand an end."
)


class FakeVLLM:
    """A fake endpoint for tests: real sockets, the bytes of a real server, no model.

    Use it in a `with` or an `async with` block. It runs on its own thread, so that it works under asyncio, trio and
    synchronous code alike. The same conversation always gets the same answer; a partial answer is continued as vLLM
    continues it.

    Args:
        answer: What to say: a text, an `Answer` with reasoning, or a function from the request's JSON to one of them.
        faults: What goes wrong: one for each request for a completion or a response, in order, None for a request without a
            fault; more can be appended to `faults` at any time. Or a function from the request's JSON to a fault or None.
        lookups: What goes wrong with other requests, by path, such as `{"/v1/models": Fault.html()}`: each time, and of
            the kinds that replace the complete answer.
        dialect: Whose bytes to send: `"vllm"`, `"llama.cpp"` or `"openai"`.
        model: The name the model is served under.
        api_key: The key that requests must carry, or None.
        context_window: Tokens that a prompt and its answer may have together.
        tokenize: How text is cut into tokens; joined together they must be the text.
        delay: Seconds between two events.
        coalesce: How many events go into one write.
        parses_tools: It was started with `--enable-auto-tool-choice` and `--tool-call-parser` (dialect `"vllm"`). Without
            them a vLLM refuses requests that let the model call tools.
        stores_responses: It keeps responses that are generated in the background (`/v1/responses`), as OpenAI does, and a
            vLLM that was started so.
    """

    def __init__(
        self,
        answer: str | Answer | Callable[[Mapping[str, Any]], str | Answer] = _PROSE,
        *,
        faults: Iterable[Fault | None] | Callable[[Mapping[str, Any]], Fault | None] = (),
        lookups: Mapping[str, Fault] | None = None,
        dialect: Literal["vllm", "llama.cpp", "openai"] = "vllm",
        model: str = "fake",
        api_key: str | None = None,
        context_window: int = 8192,
        tokenize: Callable[[str], list[str]] | None = None,
        delay: float = 0.0,
        coalesce: int = 1,
        parses_tools: bool = True,
        stores_responses: bool = True,
    ) -> None:
        def decide(body: Mapping[str, Any]) -> Answer:
            said = answer(body) if callable(answer) else answer
            return Answer(said) if isinstance(said, str) else said

        self.model_name = model
        self.faults: list[Fault | None] = [] if callable(faults) else list(faults)
        self._fault_for = faults if callable(faults) else None
        self._lookups = dict(lookups or {})
        self.requests: list[Record] = []
        self.connections = 0
        self.open_connections = 0
        self.peak_connections = 0
        self.delay = delay
        self._engine = Engine(decide, model, context_window, dialect, tokenize or split_words, parses_tools)
        self._responses = Responses(self._engine, stores=stores_responses)
        self._api_key = api_key
        self._coalesce = coalesce
        self._port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL of its API, ending in `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def tokens(self) -> int:
        """How many tokens were generated in all."""
        return sum(record.tokens for record in self.requests)

    def completions(self) -> list[Record]:
        """The requests for completions, without those for models, versions and the like."""
        return [record for record in self.requests if record.path.endswith("/completions")]

    def responses(self) -> list[Record]:
        """The requests of the Responses API."""
        return [record for record in self.requests if Responses.has(record.path)]

    # -- the thread ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen on a free port (the same one again after `stop`).

        Raises:
            ConfigurationError: The port is in use.
        """
        self._ready.clear()
        self._refused: OSError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="FakeVLLM", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._refused is not None:
            self._thread.join()
            self._loop = None
            raise ConfigurationError(
                f"FakeVLLM cannot listen on port {self._port} ({self._refused}). Another process uses it: "
                "end it, or make another FakeVLLM, which takes a free port."
            ) from self._refused

    def stop(self) -> None:
        """Close the port and all connections immediately."""
        if self._loop is not None and self._stopped is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
            self._loop = None

    async def _main(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=2048)
        except OSError as exc:
            self._refused = exc
            self._ready.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    # -- one connection ------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self.peak_connections = max(self.peak_connections, self.open_connections)
        number = self.connections
        connection = HTTPConnection(reader, writer)
        try:
            while (request := await connection.request()) is not None:
                await self._respond(connection, request, number)
        except Hangup:
            pass
        except asyncio.CancelledError:
            connection.reset()
        finally:
            self.open_connections -= 1
            connection.close()

    async def _respond(self, connection: HTTPConnection, request: Request, number: int) -> None:
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError:
            await connection.respond(400, b'{"error":{"message":"JSON decode error","type":"Bad Request","code":400}}')
            return
        record = Record(request.path, request.headers, body, number, method=request.method, query=request.query)
        self.requests.append(record)
        under_key = request.path.startswith("/v1/")
        if under_key and self._api_key and request.headers.get("authorization") != f"Bearer {self._api_key}":
            await connection.respond(401, b'{"error":"Unauthorized"}')
        elif request.path.endswith("/completions") or Responses.has(request.path):
            await self._complete(connection, record)
        elif (fault := self._lookups.get(request.path)) is not None:
            await Delivery(connection, record, fault, self._headers()).replace(fault)
        else:
            status, reply = self._lookup(request.path, body)
            await connection.respond(status, json.dumps(reply).encode(), self._headers())

    def _headers(self) -> dict[str, str]:
        name, value = server_named(self._engine.dialect).header or ("", None)
        return {} if value is None else {name: value}

    def _lookup(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return look_up(self._engine, path, body)

    # -- completions ---------------------------------------------------------------------------------------------

    async def _complete(self, connection: HTTPConnection, record: Record) -> None:
        fault = self.faults.pop(0) if self.faults else self._fault_for(record.body) if self._fault_for else None
        delivery = Delivery(connection, record, fault, self._headers())
        if fault is not None and fault.kind in ("refuse", "silence", "status", "body"):
            await delivery.replace(fault)
            return
        try:
            events = self._answer(record)
        except RequestError as error:
            await connection.respond(error.status, error.body, self._headers())
            return
        if isinstance(events, bytes):
            await connection.respond(200, events, self._headers())
            return
        await delivery.stream(events, self._coalesce, lambda: self.delay)

    def _answer(self, record: Record) -> Iterator[tuple[bytes, int]] | bytes:
        if Responses.has(record.path):
            return self._responses.answer(record.path, record.body, record.query)
        chat = record.path.endswith("/chat/completions")
        return self._engine.chat(record.body) if chat else self._engine.completion(record.body)
