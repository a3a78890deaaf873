"""Sends the requests of an `Exchange` and feeds it the responses."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from tframex.errors import ConfigurationError, ModelError, TFrameXError
from tframex.exchange._arrival import Arrival
from tframex.exchange._clock import read_clock
from tframex.exchange._driving import Answering, Request, Step
from tframex.exchange._endpoint import Endpoint
from tframex.exchange._failures import timed_out
from tframex.exchange._pace import Pace
from tframex.exchange._piece_body import body_of
from tframex.exchange._sendable import unsendable

if TYPE_CHECKING:
    import openai

__all__ = ["Clocks", "drive"]

# Seconds for what may follow the last event of an answer: its usage, `[DONE]`, the end of the body.
_EPILOGUE = 5.0
_PROBE = 3.0


@dataclass(frozen=True)
class Clocks:
    """Time limits in seconds; None is no limit."""

    first_token: float | None = None
    idle: float | None = None
    total: float | None = None


async def drive(
    exchange: Answering, endpoint: Endpoint, clocks: Clocks, *, opened: Any = None, pace: Pace | None = None
) -> AsyncGenerator[Arrival, None]:
    """The chunks of one answer, as many as each network read returned, and one empty arrival before each further request.

    Args:
        exchange: The state of the answer: decides what to send, takes in what arrives.
        endpoint: Where to send it.
        clocks: Time limits.
        opened: The response to the first request, if the caller has sent it already.
        pace: How often it is read; None: whenever something arrives.

    Raises:
        ModelError: The answer is incomplete and could not be completed.
    """
    clock = read_clock()
    now = clock.now
    end = now() + _or_inf(clocks.total)
    edge = endpoint.edge.knowing(exchange.request.transport)
    idle = _or_inf(clocks.idle)
    pacer = None if pace is None else pace.begin(now(), idle)
    data: bytes | None = None
    batch: Arrival | None = None
    try:
        step: Step | None = exchange.first()
        while step is not None:
            if exchange.further and step.kind != "probe":
                yield Arrival()
            if step.delay:
                # Never beyond the total limit, whose deadline is checked below.
                await anyio.sleep(min(step.delay, max(0.0, end - now())))
            if step.kind == "probe":
                step = exchange.probed(await endpoint.owner(step.request.model, max(0.0, min(_PROBE, end - now()))))
                continue
            if exchange.closed:
                break
            error: ModelError | None = None
            exchange.sending()
            retrieving = step.kind == "retrieve"
            deadline = min(end, now() + (idle if retrieving else _or_inf(clocks.first_token)))
            try:
                response, opened = opened, None
                if response is None:
                    response = await clock.wait(_send(endpoint.client, step.request), deadline)
                exchange.response = response
                reading = exchange.reader
                reading.opened(response.headers)
                async with body_of(response, clock) as body:
                    while not reading.over:
                        # The hot path of every stream: no coroutine, and as few calls as can be.
                        try:
                            waiting = body.arrival(deadline, math.inf if pacer is None else pacer.due)
                            if waiting is not None:
                                await waiting
                            data = body.take()
                        except TimeoutError:
                            if pacer is None or pacer.due == math.inf or now() >= deadline:
                                raise
                            batch = Arrival()
                        except Exception as exc:
                            raise body.failure(exc)  # noqa: B904 - it knows the cause
                        else:
                            if data is None:
                                continue
                            if not data:
                                body.ended = True
                                break
                            batch = reading.feed(data)
                        if batch.chunks or (pacer is not None and pacer.due != math.inf):
                            silent = batch.silent or not batch.chunks
                            left = True
                            if pacer is None:
                                yield batch
                            else:
                                paced = reading.begun and not (reading.complete or reading.failure)
                                batch = pacer.pass_on(batch, now(), body.more(), paced=paced)
                                if 0 < pacer.until < end:
                                    left = body.hold(pacer.until)
                                if batch is not None:
                                    yield batch
                            if not silent:
                                # The reader's own time does not count.
                                deadline = now() + (_EPILOGUE if reading.complete else idle)
                                if deadline > end:
                                    deadline = end
                            if pacer is not None and pacer.interval and not left:
                                await anyio.sleep(max(0.0, min(pacer.until, deadline) - now()))
                        if reading.failure is not None:
                            raise reading.failure
                    if reading.done:
                        await body.drain()
            except ConfigurationError:
                raise
            except TimeoutError as exc:
                begun = retrieving or exchange.reader.events > 0
                error = _timeout(clocks, begun=begun, over=now() >= end, model_id=endpoint.model_id)
                error.__cause__ = exc
            except Exception as exc:
                error = edge.translate(exc)
            if pacer is not None and (batch := pacer.rest()) is not None and not exchange.closed:
                yield batch
            step = exchange.ended(error)
        if exchange.tail.chunks:
            yield exchange.tail
    except BaseException as exc:
        # Error reports that show local variables would show what a server has echoed.
        data, batch = None, None
        if isinstance(exc, TFrameXError):
            edge.clean(exc)
        exchange.observer.ended(exc)
        raise
    else:
        exchange.observer.ended(GeneratorExit() if exchange.closed else None)
    finally:
        clock.close()


async def _send(client: openai.AsyncOpenAI, request: Request) -> Any:
    """Send a request and return the response, an httpx2 or httpx one, with its body unread."""
    import httpx2  # with the official client, when it is first needed

    keywords = request.keywords()
    try:
        send = client.post if "body" in keywords else client.get
        return await send(cast_to=httpx2.Response, **keywords)
    except Exception as exc:
        if (wrong := unsendable(exc, keywords.get("body"))) is not None:
            raise wrong from exc
        raise
    finally:
        del keywords


def _timeout(clocks: Clocks, *, begun: bool, over: bool, model_id: str) -> ModelError:
    if over:
        return timed_out("total", model_id=model_id, seconds=clocks.total)
    if begun:
        return timed_out("idle", model_id=model_id, seconds=clocks.idle)
    return timed_out("first_token", model_id=model_id, seconds=clocks.first_token)


def _or_inf(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
