"""`make bench`: figures measured side by side in one run, printed as ratios where there is something to compare."""

from __future__ import annotations

import platform

from tests.benchmarks import calls, import_time, streaming


def main() -> None:
    """Run all benchmarks."""
    print(f"Python {platform.python_version()} on {platform.machine()} {platform.system()}\n")
    import_time.run()
    streaming.run()
    calls.run()


if __name__ == "__main__":
    main()
