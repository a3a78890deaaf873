"""The synchronous twin of `drive`, for the synchronous official client.

Time limits are those of the client's transport: nothing can interrupt a blocking read from outside.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from tframex.errors import ModelError, TFrameXError
from tframex.exchange._arrival import Arrival
from tframex.exchange._body import is_plain
from tframex.exchange._driving import Answering, Request, Step
from tframex.exchange._edge import ErrorEdge
from tframex.exchange._failures import timed_out
from tframex.exchange._models_list import entry_of, read_json, read_models
from tframex.exchange._pace import Pace
from tframex.exchange._peek import AllThere, peek_of, readable_of
from tframex.exchange._watchdog import Watchdog

if TYPE_CHECKING:
    import openai

__all__ = ["drive_sync", "hang_up"]

_WATCHDOG = Watchdog(1.0)
# For what may follow the last event of an answer, as in the asynchronous driver.
_EPILOGUE = Watchdog(5.0)


def drive_sync(
    exchange: Answering, client: openai.OpenAI, model_id: str, opened: Any, pace: Pace | None = None
) -> Generator[Arrival, None, None]:
    """The chunks of one answer, as many as each network read returned, and one empty arrival before each further request.

    Args:
        exchange: The state of the answer: decides what to send, takes in what arrives.
        client: Sends the requests after the first.
        model_id: For error messages.
        opened: The response to the first request.
        pace: How often it is read; None: whenever something arrives.

    Raises:
        ModelError: The answer is incomplete and could not be completed.
    """
    data: bytes | None = None
    batch: Arrival | None = None
    pacer = None if pace is None else pace.begin(time.monotonic(), math.inf if opened is None else _patience(opened))
    try:
        step: Step | None = exchange.first()
        while step is not None:
            if exchange.further and step.kind != "probe":
                yield Arrival()
            if step.delay:
                time.sleep(step.delay)
            if step.kind == "probe":
                step = exchange.probed(_owner(client, step.request.model))
                continue
            if exchange.closed:
                break
            error: ModelError | None = None
            exchange.sending()
            try:
                response, opened = opened or _send(client, step.request), None
                exchange.response = response
                try:
                    reading = exchange.reader
                    reading.opened(response.headers)
                    body = iter(response.stream if is_plain(response) else response.iter_bytes())
                    patience, heard, events = _patience(response), time.monotonic(), 0
                    readable = None if pace is None else readable_of(response)
                    peek = None if readable is None else peek_of(response.stream)
                    if peek is not None:
                        body = AllThere(body, peek)
                    while not reading.over:
                        if pacer is not None and readable is not None and pacer.due != math.inf and not readable():
                            # A read could not be ended when the text is due.
                            batch = pacer.pass_on(Arrival(), time.monotonic(), False, paced=True)
                            if batch is not None:
                                yield batch
                            time.sleep(max(0.0, pacer.until - time.monotonic()))
                            continue
                        data = next(body, None) if not reading.complete else _next_soon(response, body)
                        if data is None:
                            break
                        batch = reading.feed(data)
                        silent = batch.silent
                        if batch.chunks:
                            if pacer is None:
                                yield batch
                            else:
                                paced = reading.begun and not (reading.complete or reading.failure)
                                more = None if peek is None else False
                                batch = pacer.pass_on(batch, time.monotonic(), more, paced=paced)
                                if batch is not None:
                                    yield batch
                            heard = heard if silent else time.monotonic()
                        elif reading.events > events:
                            events, heard = reading.events, time.monotonic()
                        else:
                            silent = True
                        if silent and time.monotonic() - heard > patience:
                            # Comments keep the transport's own limit from passing.
                            raise timed_out("idle", model_id=model_id, seconds=patience)
                        if reading.failure is not None:
                            raise reading.failure
                        if pacer is not None and peek is not None and pacer.until and not (readable and readable()):
                            # What arrives meanwhile is left with the operating system. One read may not have found all.
                            time.sleep(max(0.0, pacer.until - time.monotonic()))
                    if reading.done:
                        _drain(response, body)
                finally:
                    # A failure to close must not replace the exception that ends this: it would be taken for a break.
                    with suppress(Exception):
                        response.close()
            except Exception as exc:
                error = _edge(exchange, client, model_id).translate(exc)
            if pacer is not None and (batch := pacer.rest()) is not None and not exchange.closed:
                yield batch
            step = exchange.ended(error)
        if exchange.tail.chunks:
            yield exchange.tail
    except BaseException as exc:
        # Error reports that show local variables would show what a server has echoed.
        data, batch = None, None
        if isinstance(exc, TFrameXError):
            _edge(exchange, client, model_id).clean(exc)
        exchange.observer.ended(exc)
        raise
    else:
        exchange.observer.ended(GeneratorExit() if exchange.closed else None)


def _send(client: openai.OpenAI, request: Request) -> Any:
    import httpx2

    keywords = request.keywords()
    send = client.post if "body" in keywords else client.get
    return send(cast_to=httpx2.Response, **keywords)


def _edge(exchange: Answering, client: openai.OpenAI, model_id: str) -> ErrorEdge:
    return ErrorEdge.of(client, model_id).knowing(exchange.request.transport)


def _patience(response: Any) -> float:
    """How long the transport waits for a read, in seconds."""
    limits = response.request.extensions.get("timeout") or {}
    read = limits.get("read")
    return math.inf if read is None else float(read)


def _owner(client: openai.OpenAI, model: str) -> str:
    import httpx2

    try:
        response = client.get("/models", cast_to=httpx2.Response, options={"max_retries": 0, "timeout": 3})
        return entry_of(model, read_models(read_json(response)), response.headers).owner
    except Exception:
        return ""


def _drain(response: Any, body: Iterator[bytes]) -> None:
    """Read what is left after `[DONE]`, so that the connection can be used again (the official client does not)."""
    sock = _socket_of(response)
    # A server that sends `[DONE]` and keeps the body open would hold the reader until its read timeout.
    with nullcontext() if sock is None else _WATCHDOG.watching(sock):
        for _ in body:
            pass


def _next_soon(response: Any, body: Iterator[bytes]) -> bytes | None:
    """What follows the end of an answer; None if nothing does, or not soon."""
    sock = _socket_of(response)
    with nullcontext() if sock is None else _EPILOGUE.watching(sock):
        return next(body, None)


def hang_up(response: Any) -> None:
    """Close a response that another thread is reading: closing a socket does not end a read that waits for it."""
    sock = _socket_of(response)
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    response.close()


def _socket_of(response: Any) -> Any:
    stream = response.extensions.get("network_stream")
    return stream.get_extra_info("socket") if stream is not None else None
