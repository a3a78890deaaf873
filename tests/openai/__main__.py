"""Runs openai-python's tests three times, and says which pass with the official classes and not with ours.

`python -m tests.openai SDIST`, with the folder that holds the sdist of the official client; `make test-openai` gets it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Everything of the official tests that sends requests through a client; what needs a mock of the complete API is left out.
FILES = [
    "tests/test_client.py",
    "tests/test_retry_after_overflow.py",
    "tests/test_sse_framing.py",
    "tests/test_stream_mode.py",
    "tests/test_streaming.py",
    "tests/lib",
]
MODES = ("official", "never", "auto")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one test."""

    outcome: str
    said: str = ""


Outcomes = dict[str, Outcome]


def unpacked(folder: Path) -> Path:
    """The folder with the official tests."""
    (archive,) = folder.glob("openai-*.tar.gz")
    root = folder / archive.name.removesuffix(".tar.gz")
    if not root.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return root


def run(root: Path, mode: str, tests: list[str], *options: str) -> Outcomes:
    """Run tests with the classes of a mode."""
    results = root.parent / f"{mode}.json"
    results.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "TFRAMEX_OPENAI_TESTS": mode,
        "TFRAMEX_OPENAI_RESULTS": str(results),
    }
    plugins = ["-p", "swap_classes", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "-q", "--tb=no", "--no-summary", "--durations=0", *options]
    with (root.parent / f"{mode}.log").open("wb") as log:
        subprocess.run([*command, *tests], cwd=root, env=environment, stdout=log, stderr=log, check=False)
    if not results.exists():
        raise SystemExit(f"the tests did not run; see {log.name}")
    return {name: Outcome(*outcome) for name, outcome in json.loads(results.read_text()).items()}


def exceptions() -> dict[str, str]:
    """The reasons for the tests that fail with the defaults, by name: a reason is a comment, its tests follow."""
    found, reason = {}, ""
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line.startswith("#"):
            reason = line.lstrip("# ")
        elif line:
            found[line] = reason
    return found


def main() -> int:
    """Compare, print a table, and return 1 if a test fails that should not, or passes that should not."""
    root = unpacked(Path(sys.argv[1]).resolve())
    results = {mode: run(root, mode, FILES, "--numprocesses=logical", "--maxprocesses=4") for mode in MODES}
    official = [name for name, outcome in results["official"].items() if outcome.outcome == "passed"]
    excepted = exceptions()
    print(f"{'':10}{'passed':>8}{'failed':>8}{'excepted':>10}")
    print(f"{'official':10}{len(official):8}{'':8}{'':10}")
    bad: list[str] = []
    for mode in MODES[1:]:
        failed = [name for name in official if results[mode].get(name, Outcome("missing")).outcome != "passed"]
        # A test may fail on a busy machine because of its time limits: it gets a second chance, alone.
        again = run(root, mode, failed, "--numprocesses=0") if failed else {}
        failed = [name for name in failed if again.get(name, Outcome("missing")).outcome != "passed"]
        wanted = excepted.keys() if mode == "auto" else set()
        print(f"{mode:10}{len(official) - len(failed):8}{len(failed):8}{len(wanted):10}")
        bad += [f"{mode}: {name}\n    {again[name].said[:300]}" for name in failed if name not in wanted]
        bad += [f"{mode}: {name}\n    passes, and is in exceptions.txt" for name in wanted - set(failed)]
    for reason in dict.fromkeys(excepted.values()):
        print(f"\n{list(excepted.values()).count(reason)} excepted with the defaults: {reason}")
    print("\n".join(["", *bad]))
    return 1 if bad or len(official) < 7000 else 0


if __name__ == "__main__":
    sys.exit(main())
