"""`make soak`: long runs that look for what a short test cannot see."""

from __future__ import annotations

from tests.soak import batches
from tests.soak.kills import kill
from tests.soak.talks import soak_talks
from tests.soak.turns import soak_turns
from tests.soak.windows import soak


def main() -> None:
    """Run all of them and print their figures."""
    print(f"windows: {soak(2000, seed=11)}", flush=True)
    print(f"agents with tools: {soak_turns(2000, seed=11)}", flush=True)
    print(f"conversations: {soak_talks(200, seed=11)}", flush=True)
    print(f"kills: {kill(100)}", flush=True)
    print(f"batches: {batches.kill(50)}", flush=True)
    print(f"a large batch: {batches.run_large(200_000)}", flush=True)


if __name__ == "__main__":
    main()
