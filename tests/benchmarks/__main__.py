"""`make bench`: figures measured side by side in one run, as ratios where there is something to compare."""

from __future__ import annotations

from tests.benchmarks import burst, calls, import_time, notice, paced, responses, scale, turn, typed, uvloop_loops
from tests.benchmarks.table import Table, keep, machine, versions_of


def main() -> None:
    """Run all benchmarks."""
    print(machine())
    found: list[Table] = []
    for part in (paced, uvloop_loops, scale, notice, burst, typed, responses, calls, turn, import_time):
        for table in part.run():
            print(table, flush=True)
            found.append(table)
    keep("own", found, versions_of("tframex", "openai", "aiohttp", "httpx2"))


if __name__ == "__main__":
    main()
