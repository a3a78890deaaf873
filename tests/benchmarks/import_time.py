"""What `import tframex` costs."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.benchmarks.table import Table

__all__ = ["run"]

_CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def milliseconds(module: str, rounds: int) -> float:
    """The median over fresh interpreters."""
    command = [sys.executable, "-c", _CODE.format(module)]
    return 1000 * statistics.median(float(subprocess.check_output(command)) for _ in range(rounds))


def run(rounds: int = 7) -> list[Table]:
    """A line for each module."""
    found = {module: milliseconds(module, rounds) for module in ("tframex", "tframex.model", "tframex.sync", "openai")}
    rows = [[f"`import {module}`", f"{value:.1f}"] for module, value in found.items()]
    note = f"Median of {rounds} fresh interpreters. The official client is imported when it is first needed."
    return [Table("Import time", note, ["module", "milliseconds"], rows, facts={"import": found["tframex"]})]
