"""How many calls are in flight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.conftest import USER
from tests.simulated import Server, share, throughput
from tframex.errors import ModelTimeoutError
from tframex.model import VLLMModel
from tframex.systems import MapReduceSystem, MultiCallSystem
from tframex.tasks import AdaptiveLimit, Limit
from tframex.testing import FakeVLLM

SERVERS: dict[str, tuple[Callable[[], Server], int, tuple[float, int] | None, tuple[int, ...]]] = {
    "small": (lambda: Server(4), 1000, None, (4,)),
    "small, with a queue": (lambda: Server(4, queue=2), 1000, None, (5,)),
    "large": (lambda: Server(128), 4000, None, (128,)),
    "large, with a queue": (lambda: Server(128, queue=32), 4000, None, (140,)),
    "endless queue": (lambda: Server(64, queue=10**9), 2000, None, (64,)),
    "grows": (lambda: Server(16), 2000, (30.0, 64), (16, 64)),
    "grows, with a queue": (lambda: Server(16, queue=8), 2000, (30.0, 64), (24, 64)),
    "shrinks": (lambda: Server(64), 2000, (15.0, 16), (16, 64)),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_limit_finds_what_the_server_can_take(name: str) -> None:
    make, calls, change, fixed = SERVERS[name]
    best = max(throughput(make(), calls, Limit(number), change=change) for number in fixed)
    server = make()
    limit = AdaptiveLimit()
    found = throughput(server, calls, limit, change=change)
    print(f"{name}: {found / best:.3f} of the best fixed number, {server.refused / server.requests:.2%} refused")
    assert found >= 0.9 * best
    assert server.refused < 0.02 * server.requests
    assert limit.refusals == server.refused


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("later", [0.0, 20.0])
def test_two_clients_end_with_about_the_same_share(later: float, seed: int) -> None:
    """Also one that comes to a server which the other has filled."""
    found = share(Server(32, queue=16, seed=seed), later=later, seconds=200)
    print(f"{later:.0f} s later: {found:.2f}")
    assert found >= 0.75


def test_a_maximum_is_never_exceeded() -> None:
    server = Server(64)
    peak = 0

    class Watched(AdaptiveLimit):
        def _admit(self) -> None:
            nonlocal peak
            super()._admit()
            peak = max(peak, self.in_flight)

    throughput(server, 300, Watched(7))
    assert peak == 7


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_calls_wait_in_order_and_a_cancelled_one_gives_its_place_away(backend: str) -> None:
    async def main() -> None:
        limit = Limit(1)
        order: list[int] = []

        async def call(number: int) -> None:
            async with limit.place():
                order.append(number)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as group:
            for number in range(6):
                with anyio.CancelScope() as scope:
                    group.start_soon(call, number)
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
            with anyio.move_on_after(0.0001):
                await call(99)
        assert order == [0, 1, 2, 3, 4, 5]
        assert limit.in_flight == 0

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_as_it_gets_its_place_keeps_nobody_waiting(backend: str) -> None:
    async def main() -> None:
        limit = Limit(1)
        entered: list[str] = []

        async def call(name: str, scope: anyio.CancelScope) -> None:
            with scope:
                async with limit.place():
                    entered.append(name)

        first, second = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            async with limit.place():
                group.start_soon(call, "first", first)
                group.start_soon(call, "second", second)
                await anyio.wait_all_tasks_blocked()
            first.cancel()
        assert entered[-1] == "second"
        assert limit.in_flight == 0

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_in_a_task_that_holds_a_place_uses_that_place(backend: str) -> None:
    """Else a system's call would wait for itself wherever only one call may be in flight."""

    async def main() -> None:
        async with VLLMModel("fake", server.url, "k", max_concurrency=1) as model:
            with anyio.fail_after(20):
                async with model.limit.place():
                    assert (await model.call(USER)).text
                    assert [piece async for piece in model.call_stream(USER)]
                    assert model.limit.in_flight == 1
                assert (await model.call(USER)).text
            assert model.limit.in_flight == 0

    with FakeVLLM() as server:
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_single_calls_wait_only_for_the_maximum_and_many_for_the_limit(backend: str) -> None:
    class Two(Limit):
        @property
        def limit(self) -> float:
            return 2

    async def main() -> None:
        limit = Two(4)
        entered: list[str] = []
        leave = anyio.Event()

        async def many(name: str) -> None:
            async with limit.place():
                entered.append(name)
                await leave.wait()

        async def single(name: str) -> None:
            place = await limit.enter()
            entered.append(name)
            await leave.wait()
            place.leave()

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(many, f"many {number}")
                await anyio.wait_all_tasks_blocked()
            for number in range(3):
                group.start_soon(single, f"single {number}")
                await anyio.wait_all_tasks_blocked()
            assert entered == ["many 0", "many 1", "single 0", "single 1"]
            assert limit.in_flight == 4
            leave.set()
        assert sorted(entered[4:]) == ["many 2", "many 3", "single 2"]
        assert limit.in_flight == 0

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whoever_came_first_gets_the_place_whatever_kind_of_call_it_is(backend: str) -> None:
    async def main() -> None:
        limit = Limit(1)
        entered: list[str] = []

        async def many(name: str) -> None:
            async with limit.place():
                entered.append(name)

        async def single(name: str) -> None:
            place = await limit.enter()
            entered.append(name)
            place.leave()

        async with anyio.create_task_group() as group, limit.place():
            for name, call in (("a", many), ("b", single), ("c", many), ("d", single)):
                group.start_soon(call, name)
                await anyio.wait_all_tasks_blocked()
        assert entered == ["a", "b", "c", "d"]

    anyio.run(main, backend=backend)


def test_a_place_is_given_back_once() -> None:
    async def main() -> None:
        limit = Limit(2)
        first, second = await limit.enter(), await limit.enter()
        first.leave()
        first.leave()
        assert limit.in_flight == 1
        second.leave()
        assert limit.in_flight == 0

    anyio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_model_s_calls_and_its_systems_share_one_maximum(backend: str) -> None:
    class Watched(AdaptiveLimit):
        peak = 0

        def _place(self, *args: Any, **kwargs: Any) -> Any:
            self.peak = max(self.peak, self.in_flight)
            return super()._place(*args, **kwargs)

    limit = Watched(3)

    async def main() -> None:
        model = VLLMModel("fake", server.url, "k", max_concurrency=3)
        model._limit = limit
        async with model, anyio.create_task_group() as group:
            group.start_soon(MultiCallSystem("m", model).sample, "x", 8)
            group.start_soon(MapReduceSystem("r", model, chunk_size=50).run, "What?", "One two three. " * 100)
            for _ in range(8):
                group.start_soon(model.call, USER)

    with FakeVLLM("word " * 20, delay=0.001) as server:
        anyio.run(main, backend=backend)
    assert limit.peak == 3
    assert limit.in_flight == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_waiting_for_a_place_is_part_of_the_total_time(backend: str) -> None:
    async def main() -> None:
        async with VLLMModel("fake", server.url, "k", max_concurrency=1) as model:
            place = await model.limit.enter()
            with pytest.raises(ModelTimeoutError, match="total_timeout"):
                await model.call(USER, total_timeout=0.01)
            place.leave()
            assert (await model.call(USER)).text

    with FakeVLLM() as server:
        anyio.run(main, backend=backend)
    assert len(server.completions()) == 1
