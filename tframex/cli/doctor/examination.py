"""All checks in order: each finds what the later ones need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from tframex.cli.doctor import abilities, api, load, network, served, streaming
from tframex.cli.doctor.finding import Finding
from tframex.cli.doctor.stream import listen
from tframex.cli.doctor.target import Reply, Target

__all__ = ["CHECKS", "examine"]

CHECKS = (
    "installation",
    "settings",
    "proxy",
    "name resolution",
    "connection",
    "TLS",
    "API",
    "in between",
    "model",
    "server",
    "context window",
    "tokenizer",
    "streaming",
    "usage",
    "reasoning",
    "repetition",
    "continuing",
    "idle connections",
    "concurrency",
    "tools",
    "typed answers",
)


class _UnusableError(Exception):
    """Nothing further can be examined."""


async def examine(
    target: Target, report: Callable[[Finding], None], begin: Callable[[str], None] = lambda check: None
) -> bool:
    """Examine an endpoint.

    Args:
        target: The endpoint.
        report: Called with each finding, as soon as it is there.
        begin: Called with the name of each check before it.

    Returns:
        Whether it can be used.
    """
    done: list[Finding] = []

    async def check(pending: Awaitable[Finding]) -> None:
        try:
            found = await pending
        except Exception as exc:
            # Servers and machines fail in ways that were not foreseen; the other findings must not be lost.
            name = next(name for name in CHECKS if name not in {finding.check for finding in done})
            found = Finding(
                name,
                "failed",
                f"the check itself failed ({target.clean(f'{type(exc).__name__}: {exc}')[:200]})",
                "The endpoint, or this machine, answers in a way that the check does not know.",
                "Please report it, with the output of `tframex version`.",
            )
        done.append(found)
        report(found)
        if found.status == "failed":
            raise _UnusableError
        following = CHECKS.index(found.check) + 1
        begin(CHECKS[following] if following < len(CHECKS) else "")

    begin(CHECKS[0])
    try:
        await check(network.installation())
        await check(network.settings(target))
        await check(network.proxy(target))
        if target.proxy is None:
            for step in (network.name_resolution, network.tcp, network.tls):
                await check(step(target))
        await _asked(target, check)
    except _UnusableError:
        seen = {finding.check for finding in done}
        for name in CHECKS:
            if name not in seen:
                report(Finding(name, "skipped", f"needs {done[-1].check}"))
    return all(finding.status != "failed" for finding in done)


async def _asked(target: Target, check: Callable[[Awaitable[Finding]], Awaitable[None]]) -> None:
    """The checks that send requests."""
    answers: list[Reply] = []

    async def reach() -> Finding:
        found, reply = await api.api(target)
        answers.extend([reply] if reply is not None else [])
        return found

    await check(reach())
    reply = answers[0]
    await check(served.between(reply))
    await check(served.model(target, reply))
    await check(served.server(target, reply))
    await check(served.window(target, reply))
    await check(served.tokenizer(target))
    ids = {"return_token_ids": True} if target.server.token_ids else {}
    stream = await listen(target, stream_options={"include_usage": True}, **ids)
    await check(streaming.streaming(target, stream))
    await check(streaming.usage(stream))
    await check(streaming.reasoning(stream))
    await check(streaming.repetition(stream))
    await check(streaming.continuing(target, stream))
    # The first is mostly waiting: the requests of the second come meanwhile.
    async with anyio.create_task_group() as group:
        idle, crowd = _Later(load.idle_connections(target)), _Later(load.concurrency(target, stream))
        for later in (idle, crowd):
            group.start_soon(later.run)
    await check(idle.result())
    await check(crowd.result())
    await check(abilities.tools(target, stream))
    await check(abilities.typed_answers(target, stream))


class _Later:
    """What a check finds while others run."""

    def __init__(self, pending: Awaitable[Finding]) -> None:
        self._pending = pending
        self._outcome: Finding | Exception | None = None

    async def run(self) -> None:
        try:
            self._outcome = await self._pending
        except Exception as exc:
            self._outcome = exc

    async def result(self) -> Finding:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome
