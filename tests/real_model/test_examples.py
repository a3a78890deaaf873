"""The examples run as a user runs them: without `.env`, on the embedded model."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tframex.errors import ConfigurationError
from tframex.testing import FakeVLLM

pytestmark = pytest.mark.real_model

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("API_URL", "API_KEY", "MODEL_NAME")}


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy, so that results do not land in the repository."""
    ignored = shutil.ignore_patterns("example_outputs", "generated_website", "__pycache__")
    return Path(shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored))


def run(examples: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=examples.parent,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )


def test_the_chain_reads_the_long_text_on_the_embedded_model(examples: Path) -> None:
    done = run(examples, "examples/example.py", "--example", "3")
    assert "API_URL is not set" in done.stdout
    # Four parts, some with notes that had to be condensed, and the answer.
    assert re.search(r"^\[(\d+)/\1\] answer", done.stderr, re.MULTILINE)
    assert (examples / "example_outputs" / "3_chain.txt").read_text(encoding="utf-8").strip() in done.stdout


@pytest.mark.parametrize("script", ["example.py", "example_sync.py"])
def test_all_four_examples_run_on_the_endpoint_of_the_environment(examples: Path, script: str) -> None:
    with FakeVLLM("A harbour.", api_key="secret-key") as server:
        done = run(examples, f"examples/{script}", API_URL=server.url, API_KEY="secret-key", MODEL_NAME="fake")
    outputs = examples / "example_outputs"
    assert sorted(path.name for path in outputs.iterdir()) == [
        "1_basic.txt", "2_context.txt", "3_chain.txt", "4_multi_call",
    ]  # fmt: skip
    assert len(list((outputs / "4_multi_call").glob("output_*.txt"))) == 3
    assert "secret-key" not in done.stdout + done.stderr


@pytest.mark.parametrize("script", ["example.py", "example_sync.py"])
def test_the_short_examples_run_on_the_embedded_model(examples: Path, script: str) -> None:
    for number in ("1", "2", "4"):
        assert f"== {number}." in run(examples, f"examples/{script}", "--example", number).stdout


def test_the_website_builder_writes_a_website_on_the_embedded_model(examples: Path) -> None:
    run(examples, "examples/website_builder/html.py", "a site about a ferry")
    files = list((examples / "website_builder" / "generated_website").iterdir())
    assert files
    assert {path.suffix for path in files} <= {".html", ".css", ".js"}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("html_builder", ROOT / "examples" / "website_builder" / "html.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("index.html", "index.html"),
        ("css/style.css", "css/style.css"),
        ("../../evil.html", "evil.html"),
        ("/etc/passwd.html", "etc/passwd.html"),
        ("C:\\boot.html", "C_/boot.html"),
        ("..\\..\\up.js", "up.js"),
        ("a b\x00c?.html", "a_b_c_.html"),
        ("...html", None),
        ("run.sh", None),
        ("", None),
        ("..", None),
        ("a/b/c/d/e.html", None),
    ],
)
def test_a_file_goes_below_the_output_folder_whatever_its_name(
    builder: ModuleType, tmp_path: Path, name: str, place: str | None
) -> None:
    found = builder.safe_path(tmp_path, name)
    assert found == (None if place is None else tmp_path / place)


def test_a_link_does_not_lead_out_of_the_output_folder(builder: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "out").symlink_to(tmp_path, target_is_directory=True)
    assert builder.safe_path(tmp_path / "site", "out/evil.html") is None


def test_a_plan_that_is_no_json_is_an_error_that_shows_it(builder: ModuleType) -> None:
    with pytest.raises(ConfigurationError, match="not the JSON that was asked for: 'Sure!"):
        builder.read_plan("Sure! Here is a plan")
    assert builder.strip_fences("<think>x</think>Sure:\n```html\n<p>hi</p>\n```\nDone.") == "<p>hi</p>\n"
    assert builder.strip_fences("<p>hi</p>") == "<p>hi</p>\n"
