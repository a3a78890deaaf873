"""A file of requests, answered line by line. Stop it with Ctrl-C and start it again: it continues where it stopped."""

from __future__ import annotations

import json

from _setup import OUTPUTS, ShowProgress, get_sync_model

from tframex.sync import MultiCallSystem

PLACES = ("a harbour", "a lighthouse", "a dry dock", "a fish market", "a ferry", "a shipyard")


def main() -> None:
    """Write the requests, answer them, show the results."""
    OUTPUTS.mkdir(exist_ok=True)
    source, target = OUTPUTS / "requests.jsonl", OUTPUTS / "results.jsonl"
    lines = [json.dumps({"custom_id": place, "prompt": f"What is {place}? One sentence."}) for place in PLACES]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with get_sync_model() as model:
        result = MultiCallSystem("batch", model).run_file(source, target, max_tokens=40, progress=ShowProgress())
    for line in target.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        print(f"{answer['custom_id']}: {answer['text'] or answer['error']}")
    print(
        f"{result.lines} lines, {result.earlier} of them from an earlier run, {result.usage.completion_tokens} tokens"
    )


if __name__ == "__main__":
    main()
