"""Work that reports while it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from tframex.tasks import emitted


@pytest.mark.parametrize("rounds", range(4))
def test_a_loop_that_ends_before_the_work_has_begun_ends(rounds: int) -> None:
    """The work's task then never runs, and nothing may wait for its end."""

    async def read() -> None:
        async def work(emit: Callable[[int], None]) -> None:
            await asyncio.sleep(0)
            emit(1)

        async for _ in emitted(work):
            pass

    async def main() -> None:
        reading.append(asyncio.ensure_future(read()))
        for _ in range(rounds):
            await asyncio.sleep(0)

    reading: list[asyncio.Future[None]] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
