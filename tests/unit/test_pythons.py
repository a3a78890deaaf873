"""`make test-pythons`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.pythons import find, summary

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_python_that_runs_the_program_is_found_and_one_that_is_not_there_is_missing(tmp_path: Path) -> None:
    nothing = {"PYENV_ROOT": str(tmp_path), "PATH": str(tmp_path)}
    assert find(HERE, nothing) == sys.executable
    assert find("3.99", nothing) is None


@pytest.mark.skipif(os.name == "nt", reason="a script is no program on Windows")
def test_the_newest_of_pyenv_is_taken_and_a_shim_that_fails_is_not(tmp_path: Path) -> None:
    for patch in ("9", "10", "10t"):
        python = tmp_path / "versions" / f"3.99.{patch}" / "bin" / "python"
        executable(python, f"echo 3.99 {python}")
    executable(tmp_path / "shims" / "python3.98", "echo not switched on >&2\nexit 127")
    executable(tmp_path / "path" / "python3.97", "echo 3.97 /opt/python")
    places = {"PYENV_ROOT": str(tmp_path), "PATH": f"{tmp_path / 'shims'}{os.pathsep}{tmp_path / 'path'}"}
    assert find("3.99", places) == str(tmp_path / "versions" / "3.99.10" / "bin" / "python")
    assert find("3.98", places) is None
    assert find("3.97", places) == "/opt/python"


def test_one_that_failed_is_a_failure_and_one_that_is_missing_is_none() -> None:
    assert summary({"3.10": "passed", "3.14": "missing"}) == ("Python 3.10: passed\nPython 3.14: missing", 0)
    assert summary({"3.10": "passed", "3.11": "FAILED: pytest ended with 1"})[1] == 1
    assert summary({"3.10": "missing", "3.11": "missing"})[1] == 1
