"""Runs an adapter: reads commands, one JSON object a line, and answers each with one.

It imports nothing of ours: an adapter runs in an environment that has only its client. An adapter has two functions:
`connect(url, seconds, tokens)` gives the client (how long to wait for anything, `max_tokens`), and
`ask(client, seen)`, asynchronous or not, streams one answer and appends to `seen` what a user sees.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

if sys.platform != "win32":
    import resource

# Some print to standard output when they are imported.
ANSWERS, sys.stdout = sys.stdout, sys.stderr

STARTED = time.perf_counter()
"""Nearly when the adapter began: it imports this first."""


def serve(connect: Callable[[str, float, int], Any], ask: Callable[[Any, list[str]], Any], *packages: str) -> None:
    """Answer commands until standard input ends."""
    about: dict[str, Any] = {"import": time.perf_counter() - STARTED}
    warnings.simplefilter("ignore")
    print(json.dumps({**about, "versions": {name: version(name) for name in packages}}), file=ANSWERS, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        result = (_bench if "streams" in command else _one)(connect, ask, command)
        print(json.dumps(result), file=ANSWERS, flush=True)


def _one(connect: Any, ask: Any, command: dict[str, Any]) -> dict[str, Any]:
    seen: list[str] = []
    error = None
    try:
        _run(lambda: connect(command["url"], command["seconds"], 500), ask, [[seen]])
    except BaseException as exc:
        error = type(exc).__name__
    return {"text": "".join(seen), "error": error}


def _bench(connect: Any, ask: Any, command: dict[str, Any]) -> dict[str, Any]:
    tokens = command["tokens"]
    rounds: list[list[list[str]]] = [[[]], [[] for _ in range(command["streams"])]]
    cpu, wall = _run(lambda: connect(command["url"], 60.0, tokens), ask, rounds)
    assert all(len("".join(seen)) > tokens for seen in rounds[1]), "something is missing"
    megabytes = 0.0 if sys.platform == "win32" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu": cpu, "wall": wall, "megabytes": megabytes}


def _run(connect: Callable[[], Any], ask: Any, rounds: list[list[list[str]]]) -> tuple[float, float]:
    """Ask for all answers of a round concurrently, in threads if the client is synchronous; CPU and wall time."""
    if not inspect.iscoroutinefunction(ask):
        client = connect()
        for row in rounds:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            if len(row) == 1:
                ask(client, row[0])
            else:
                with ThreadPoolExecutor(len(row)) as threads:
                    list(threads.map(partial(ask, client), row))
            spent = time.process_time() - cpu, time.perf_counter() - wall
        return spent

    async def main() -> tuple[float, float]:
        client = connect()
        for row in rounds:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.gather(*(ask(client, seen) for seen in row))
            spent = time.process_time() - cpu, time.perf_counter() - wall
        return spent

    return asyncio.run(main())
