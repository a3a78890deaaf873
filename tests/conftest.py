"""What all tests share: the three colours, and the embedded model."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest
import tenacity

from tframex import sync
from tframex.exchange import EventExchange, Exchange
from tframex.local import LocalServer
from tframex.model import EndpointCounter
from tframex.systems import _patience

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("tframex", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("tframex")

ROOT = Path(__file__).parent.parent
# They need a real vLLM, which `make test-vllm` installs.
collect_ignore = [] if "TFRAMEX_VLLM_HOME" in os.environ else ["vllm"]
# They need a server of npm, which `make test-npm` installs.
collect_ignore += [] if "TFRAMEX_NPM" in os.environ else ["npm"]


class Colour:
    """Runs one test body in asyncio, trio or synchronously.

    A body is asynchronous and works on asynchronous objects. In the colour "sync" the objects it makes are wrapped by
    `make`, so that every method it awaits goes through `tframex.sync`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, body: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await body()

        if self.name == "sync":
            # No event loop runs: the body's awaits are answered immediately by `_Awaitable` and `_Iterator`.
            coroutine: Any = main()
            try:
                coroutine.send(None)
            except StopIteration as done:
                return done.value
            raise AssertionError("a synchronous body must not wait for an event loop")
        return anyio.run(main, backend=self.name)

    def make(self, thing: Any) -> Any:
        if self.name != "sync":
            return thing
        if isinstance(thing, EndpointCounter):
            return _Synchronous(sync.EndpointCounter._of(thing))
        return _Synchronous(sync.blocking(thing))

    @staticmethod
    def original(thing: Any) -> Any:
        """The asynchronous object behind what `make` has made."""
        return thing._facade._async if isinstance(thing, _Synchronous) else thing


class _Synchronous:
    """A synchronous facade in the clothes of an asynchronous object."""

    def __init__(self, facade: Any) -> None:
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._facade, name)
        original = inspect.unwrap(getattr(self._facade._async, name)) if callable(value) else None
        if inspect.isasyncgenfunction(original):
            return lambda *args, **kwargs: _Result(partial(iter, value(*args, **kwargs)))
        if inspect.iscoroutinefunction(original):
            return lambda *args, **kwargs: _Result(lambda: value(*args, **kwargs))
        return value

    async def __aenter__(self) -> _Synchronous:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._facade.close_client()


class _Result:
    """The outcome of a synchronous call, to be awaited or iterated over."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._iterator: Any = None

    def __await__(self) -> Generator[None, None, Any]:
        return self._call()
        yield  # makes this a generator, which `await` wants

    def __aiter__(self) -> _Result:
        self._iterator = self._call()
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        if self._iterator is not None:
            self._iterator.close()


@pytest.fixture(params=["asyncio", "trio", "sync"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Runs the test three times."""
    return Colour(request.param)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other without a pause; how long pauses are is tested where they are made."""
    for kind in (Exchange, EventExchange):
        defaults = kind.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "wait", tenacity.wait_none())
    monkeypatch.setattr(_patience, "DEFAULT_WAIT", tenacity.wait_none())


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    """The embedded real model."""
    with LocalServer(slots=2, context_window=2048) as server:
        yield server


USER = [{"role": "user", "content": "Name three colours."}]


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


__all__ = ["ROOT", "USER", "Colour", "ask"]
