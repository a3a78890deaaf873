"""Checks of connections: idle ones, and several concurrently."""

from __future__ import annotations

import ssl
import time

import anyio

from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.stream import Stream, listen
from tframex.cli.doctor.target import Target

__all__ = ["concurrency", "idle_connections"]

# Seconds for which TFrameX keeps an idle connection, and for which the check watches one.
_OURS, _LOOKED = 4.0, 6.0


async def idle_connections(target: Target) -> Finding:
    """How long the server keeps a connection that nothing is sent on."""
    name = "idle connections"
    if target.proxy is not None:
        return Finding(name, "skipped", "not examined: they end at the proxy")
    host, port = target.address
    request = (
        f"GET {target.parts.path}/models HTTP/1.1\r\nHost: {target.parts.netloc}\r\n"
        f"Authorization: Bearer {target.key or 'none'}\r\n\r\n"
    )
    try:
        with anyio.fail_after(target.seconds + _LOOKED):
            if target.parts.scheme == "https":
                stream: anyio.abc.ByteStream = await anyio.connect_tcp(
                    host, port, tls=True, ssl_context=ssl.create_default_context(), tls_standard_compatible=False
                )
            else:
                stream = await anyio.connect_tcp(host, port)
            async with stream:
                await stream.send(request.encode())
                return await _watched(stream)
    except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream) as exc:
        return Finding(name, "skipped", f"not seen ({type(exc).__name__})")


async def _watched(stream: anyio.abc.ByteStream) -> Finding:
    name = "idle connections"
    await stream.receive()
    last = time.perf_counter()
    with anyio.move_on_after(_LOOKED) as looked:
        try:
            while True:
                await stream.receive()
                last = time.perf_counter()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass
    if looked.cancelled_caught:
        return Finding(name, "ok", f"kept for more than {_LOOKED:g} s", data={"seconds": None})
    seconds = time.perf_counter() - last
    if seconds >= _OURS:
        return Finding(
            name,
            "ok",
            f"closed after {seconds:.1f} s; TFrameX drops its own after {_OURS:g} s",
            data={"seconds": seconds},
        )
    return Finding(
        name,
        "warning",
        f"closed after {seconds:.1f} s",
        f"TFrameX keeps idle connections for {_OURS:g} s: a request may be written into one that is being closed, and must "
        "be sent again.",
        "Raise the server's or proxy's keep-alive timeout to 5 s or more (uvicorn: --timeout-keep-alive).",
        {"seconds": seconds},
    )


def _how(stream: Stream) -> str:
    if stream.reply is not None:
        return f"{stream.reply.status}: {stream.reply.said}"
    return stream.broken or f"silent after {len(stream.times)} pieces"


async def concurrency(target: Target, alone: Stream) -> Finding:
    """Whether several requests are served concurrently."""
    streams: list[Stream] = []

    async def one() -> None:
        streams.append(await listen(target, max_tokens=16))

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(target.concurrency):
            group.start_soon(one)
    seconds = time.perf_counter() - began
    refused = [s.reply.status for s in streams if s.reply is not None and s.reply.status in (429, 503)]
    bad = [s for s in streams if not s.complete and not (s.reply is not None and s.reply.status in (429, 503))]
    data = {"at_once": target.concurrency, "refused": len(refused), "failed": len(bad), "seconds": seconds}
    if refused or bad:
        what = f"{len(refused)} refused ({refused[0]})" if refused else f"{len(bad)} failed ({_how(bad[0])})"
        return Finding(
            "concurrency",
            "warning",
            f"of {target.concurrency} concurrent requests {what}",
            "The server, or a proxy before it, takes fewer concurrent requests, or has too little memory for them.",
            'Set max_concurrency, lower num_calls, or let MultiCallSystem find the number ("auto", its default).',
            data,
        )
    last = max((s.times[0] for s in streams if s.times), default=0.0)
    first = alone.times[0] if alone.times else 0.0
    detail = f"{target.concurrency} concurrent requests took {seconds:.1f} s; the last waited {last:.2f} s for a token"
    if last > 1 and last > 10 * first:
        return Finding(
            "concurrency",
            "warning",
            f"{detail} (alone: {first:.2f} s)",
            "They wait in a queue: the server processes only a few concurrently.",
            "Raise --max-num-seqs (vLLM), -np (llama.cpp) or --slots (tframex local), or lower the concurrency.",
            data,
        )
    return Finding("concurrency", "ok", detail, data=data)
