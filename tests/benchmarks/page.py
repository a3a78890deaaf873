"""Writes what the benchmarks have found into the documentation: the page, its plots, and the figures of other pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.benchmarks.table import Table, kept

__all__ = ["main"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "assets"
HEAD = """# Benchmarks

Written by `make bench` and `make bench-peers`; nothing here is typed by hand. Everything in a table was measured in one
run, in turn, and ratios are medians of ratios of the same round, since the speed of a shared machine changes from minute
to minute. The client and the server are different processes; only the client's CPU is counted. The scripts and the raw
figures are in `tests/benchmarks/`.

A server writes one event for each step of the model, and the client wakes up for it: that is the real pattern, and most
tables here use it. What arrives in bursts is cheaper to read for everyone; the table that says so in its title shows it.
"""
PARTS = {
    "own": "Beside the official client",
    "chunking": "Chunking",
    "peers": "Beside other clients",
    "conformance": "What becomes of broken streams",
}


def main() -> None:
    """Write all of it."""
    sections = [HEAD]
    facts: dict[str, float] = {}
    days: dict[str, str] = {}
    for name, heading in PARTS.items():
        found = kept(name)
        if found is None:
            continue
        about, tables = found
        days[name] = about["day"]
        sections.append(f"---\n\n**{heading}.** {_about(about)}\n")
        for table in tables:
            facts.update(table.facts)
            sections.append(table.markdown() + "\n")
            if table.plot is not None:
                sections.append(_plotted(table))
    PAGE.write_text("\n".join(sections), encoding="utf-8")
    for plot in PLOTS.glob("*.svg"):
        if f"assets/{plot.name}" not in PAGE.read_text(encoding="utf-8"):
            plot.unlink()  # of a table that there is no longer
    print(f"-> {PAGE.relative_to(ROOT)}")
    for path, depth in ((ROOT / "README.md", "docs/benchmarks.md"), (ROOT / "docs" / "index.md", "benchmarks.md")):
        _fill(path, facts, days, depth)


def _about(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return f"Measured on {about['day']}, on {about['machine']}; {versions}."


def _plotted(table: Table) -> str:
    assert table.plot is not None
    column = table.columns[table.plot]
    values = [(row[0].replace("`", ""), _number(row[table.plot])) for row in table.rows]
    bars = [(name, value) for name, value in values if value is not None]
    name = re.sub(r"\W+", "-", table.title.lower()).strip("-")
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(chart(column, bars), encoding="utf-8")
    return f"![{table.title}: {column}](assets/{name}.svg)\n"


def _number(cell: str) -> float | None:
    found = re.search(r"\d+(?:\.\d+)?", cell.replace(",", ""))
    return float(found[0]) if found else None


def chart(title: str, bars: list[tuple[str, float]]) -> str:
    """Horizontal bars as an SVG; readable on a light and a dark page."""
    left, width, row = 290, 330, 24
    longest = max(value for _, value in bars)
    height = row * len(bars) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 80} {height}" role="img" '
        f'font-family="sans-serif" font-size="13"><title>{escape(title)}</title>',
        "<style>text{fill:#555}.ours{fill:#00897b}.theirs{fill:#90a4ae}"
        "@media(prefers-color-scheme:dark){text{fill:#bbb}}</style>",
        f'<text x="{left}" y="16" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(bars):
        y = 26 + row * number
        kind = "ours" if any(word in name for word in ("tframex", "VLLMModel", "MultiCallSystem")) else "theirs"
        bar = max(1.0, width * value / longest)
        lines.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect class="{kind}" x="{left}" y="{y + 2}" width="{bar:.1f}" height="{row - 8}" rx="2"/>')
        lines.append(f'<text x="{left + bar + 6:.1f}" y="{y + 14}">{value:g}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _sentences(facts: dict[str, float]) -> list[str]:
    """What is said of the cost of a token and of many calls, with as much as has been measured."""

    def cheaper(name: str) -> float:
        return facts.get(f"{name} cheaper", 0)

    lines = []
    if call := cheaper("VLLMModel.call"):
        screen = cheaper("VLLMModel.call_stream, interval=0.05")
        for_a_screen = f"{screen:.0f} times where a screen shows it (`interval=0.05`), " if screen else ""
        dropped_in = cheaper("tframex.AsyncOpenAI, interval=0.05")
        lines.append(
            "- From a server that writes one event a step, as real ones do, a token costs "
            f"{call:.0f} times less CPU than with the official client where an answer is wanted complete, {for_a_screen}"
            f"{cheaper('VLLMModel.call_stream'):.1f} times where each token is handed out immediately. With only the "
            f"import changed: {cheaper('tframex.AsyncOpenAI'):.1f} times"
            + (f", {dropped_in:.0f} with `interval=0.05`." if dropped_in else ".")
        )
    if ideal := facts.get("VLLMModel.call 1000 wall"):
        lines.append(
            f"- 1,000 calls of 50 tokens/s in one process take {ideal:.2f} times the server's own time and "
            f"{facts['VLLMModel.call 1000 core']:.2f} of a core; the official client takes "
            f"{facts['openai.AsyncOpenAI 1000 wall']:.1f} times."
        )
    return lines


def _fill(path: Path, facts: dict[str, float], days: dict[str, str], link: str) -> None:
    """Put the figures between the marks of a page."""
    lines = _sentences(facts)
    if "continued" in facts:
        lines.append(
            f"- Of {facts['faults']:.0f} ways in which a stream can break, {facts['continued']:.0f} end with the "
            f"complete answer and the others with an error. Of {facts['clients']:.0f} other clients, "
            f"{facts['fooled']:.0f} return half an answer as a complete one."
        )
    if not lines:
        return
    when = " and ".join(sorted(set(days.values())))
    lines.append(f"\nMeasured on {when}: [benchmarks]({link}).")
    text = path.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- figures of make bench -->\n).*?(<!-- end -->)", re.DOTALL)
    assert marked.search(text), f"{path} has no place for the figures"
    filled = marked.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)
    path.write_text(filled, encoding="utf-8")
    print(f"-> {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
