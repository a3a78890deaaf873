"""The real servers: one for each configuration, for the test session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.server import KEY, Server


@pytest.fixture(scope="session")
def home() -> Path:
    """Where vLLM is installed."""
    return Path(os.environ["TFRAMEX_VLLM_HOME"])


@pytest.fixture(scope="session")
def servers(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Both configurations; they start at the same time."""
    logs = tmp_path_factory.mktemp("vllm")
    with (
        Server(home, logs / "plain.log", "--api-key", KEY, "--scheduling-policy", "priority") as plain,
        Server(home, logs / "reasoning.log", "--api-key", KEY, "--reasoning-parser", "qwen3") as reasoning,
    ):
        for server in (plain, reasoning):
            server.wait()
        yield {"plain": plain, "reasoning": reasoning}


@pytest.fixture
def vllm(servers: dict[str, Server]) -> Server:
    """The server without a reasoning parser."""
    return servers["plain"]


@pytest.fixture
def parsing(servers: dict[str, Server]) -> Server:
    """The server with one."""
    return servers["reasoning"]
