"""Runs the tests on every Python from 3.10 to 3.14 that is on this machine: `make test-pythons`.

Each has its own environment in `.venv/pythons/X.Y`. Arguments are pytest's: `make test-pythons ARGS="-k cut"`. The exit
code is 1 if a Python failed, or if none was found; one that is missing is named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOMES = ROOT / ".venv" / "pythons"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PROJECT = ".[local,examples,cli,docs,dev]"
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find(version: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The interpreter of a version: pyenv's newest, else the one on the path, else the one that runs this."""
    for command in _candidates(version, environ):
        try:
            done = subprocess.run([*command, "-c", _ASK], capture_output=True, text=True, check=False)
        except OSError:
            continue
        # A shim of pyenv is on the path for each version, and fails where the version is not switched on.
        answered, _, executable = done.stdout.strip().partition(" ")
        if done.returncode == 0 and answered == version:
            return executable
    return None


def _candidates(version: str, environ: Mapping[str, str]) -> Iterator[list[str]]:
    home = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in (home / "versions", home / "pyenv-win" / "versions"):
        found = [path for path in folder.glob(f"{version}.*") if re.fullmatch(r"[\d.]+", path.name)]
        for path in sorted(found, key=lambda path: [int(part) for part in path.name.split(".")], reverse=True):
            yield [str(path / ("python.exe" if os.name == "nt" else "bin/python"))]
    if on_path := shutil.which(f"python{version}", path=environ.get("PATH")):
        yield [on_path]
    if os.name == "nt" and (launcher := shutil.which("py", path=environ.get("PATH"))):
        yield [launcher, f"-{version}"]
    yield [sys.executable]


def environment(python: str, home: Path, extra: Sequence[str]) -> str:
    """The interpreter of an environment that has everything the tests need; made where it is not up to date.

    Raises:
        CalledProcessError: Something cannot be installed.
    """
    inside = str(home / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    wanted = "\n".join([python, *extra, (ROOT / "pyproject.toml").read_text(encoding="utf-8")])
    installed = home / "installed"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        pip = [inside, "-m", "pip", "install", "--quiet"]
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        subprocess.run([*pip, "-e", PROJECT], cwd=ROOT, check=True)
        for package in extra:
            subprocess.run([*pip, "--no-deps", package], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return inside


def try_on(python: str, version: str, extra: Sequence[str], arguments: Sequence[str]) -> str:
    """Run the tests; returns their outcomes."""
    try:
        inside = environment(python, HOMES / version, extra)
    except subprocess.CalledProcessError as exc:
        return f"FAILED: its environment could not be made ({exc})"
    workers = ["--numprocesses=logical", "--maxprocesses=4"]
    code = subprocess.run([inside, "-m", "pytest", *workers, *arguments], cwd=ROOT, check=False).returncode
    return f"FAILED: pytest ended with {code}" if code else "passed"


def summary(outcomes: Mapping[str, str]) -> tuple[str, int]:
    """What to print at the end, and the exit code."""
    lines = [f"Python {version}: {outcome}" for version, outcome in outcomes.items()]
    run = [outcome for outcome in outcomes.values() if outcome != "missing"]
    return "\n".join(lines), 0 if run and all(outcome == "passed" for outcome in run) else 1


def main() -> int:
    """Test on all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-dependencies", metavar="PACKAGE", action="append", default=[], dest="extra")
    given, arguments = parser.parse_known_args()
    outcomes: dict[str, str] = {}
    for version in VERSIONS:
        python = find(version)
        if python is None:
            outcomes[version] = "missing"
            continue
        print(f"== Python {version}: {python}", flush=True)
        outcomes[version] = try_on(python, version, given.extra, arguments)
    text, code = summary(outcomes)
    print(f"\n{text}")
    return code


if __name__ == "__main__":
    sys.exit(main())
