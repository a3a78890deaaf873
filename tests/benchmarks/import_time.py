"""What `import tframex` costs."""

from __future__ import annotations

import statistics
import subprocess
import sys

__all__ = ["run"]

_CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def milliseconds(module: str, rounds: int) -> float:
    """The median over fresh interpreters."""
    command = [sys.executable, "-c", _CODE.format(module)]
    return 1000 * statistics.median(float(subprocess.check_output(command)) for _ in range(rounds))


def run(rounds: int = 7) -> None:
    """Print one line for each module."""
    print(f"import time, median of {rounds} fresh interpreters")
    for module in ("tframex", "tframex.model", "tframex.sync", "openai"):
        print(f"  import {module:<14} {milliseconds(module, rounds):8.1f} ms")
