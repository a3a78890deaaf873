"""A server that dies in the middle of an answer, in every way it can."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colour, ask
from tests.vllm.server import KEY, Server
from tests.vllm.test_surface import GREEDY, model_of
from tframex.model import Completion

QUESTION = ask("Tell a long story about a lighthouse.")
TOKENS = 60


@pytest.fixture(scope="module")
def mortal(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that these tests may kill; each leaves a living one behind."""
    with Server(home, tmp_path_factory.mktemp("mortal") / "log", "--api-key", KEY) as server:
        server.wait()
        yield server


def restart(server: Server) -> None:
    server.stop()
    server.launch()
    server.wait()


DEATHS: dict[str, Callable[[Server], None]] = {
    "SIGKILL of the API server": lambda server: server.signal(signal.SIGKILL),
    "death of the engine": lambda server: server.kill_engine(),
    "SIGTERM": lambda server: server.signal(signal.SIGTERM),
}


@pytest.mark.parametrize(("name", "colour_name"), [*((name, "asyncio") for name in DEATHS), ("SIGTERM", "sync")])
def test_the_answer_goes_on_when_the_server_is_back(mortal: Server, name: str, colour_name: str) -> None:
    colour = Colour(colour_name)

    async def body() -> None:
        # A real server takes a minute to come back: more retries than usual, and less patience with silence.
        async with colour.make(model_of(mortal, max_retries=60, idle_timeout=5, first_token_timeout=60)) as model:
            complete = (await model.call(QUESTION, max_tokens=TOKENS, **GREEDY)).text
            reborn: threading.Thread | None = None
            pieces: list[str] = []
            last: Any = None
            async for event in model.stream(QUESTION, max_tokens=TOKENS, **GREEDY):
                last = event
                if not isinstance(event, Completion):
                    pieces.append(event.content)
                if len(pieces) == 10 and reborn is None:
                    DEATHS[name](mortal)
                    reborn = threading.Thread(target=restart, args=(mortal,))
                    reborn.start()
            assert reborn is not None
            reborn.join()
            assert isinstance(last, Completion)
            assert "".join(pieces) == last.text == complete, name
            assert last.resumes >= 1

    colour.run(body)
