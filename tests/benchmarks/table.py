"""Tables of figures: printed as they come, kept for the page of the documentation."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "Table", "keep", "kept", "machine", "versions_of"]

# In the repository: a target that measures one part leaves the figures of the others on the page.
FOLDER = Path(__file__).parent / "results"


@dataclass
class Table:
    """Figures that were measured side by side.

    Attributes:
        title: What was measured.
        note: How.
        columns: What the figures are; the first names the row.
        rows: A name and its figures, as text.
        legend: What is to be known to read them, shown below.
        plot: The number of the column that is drawn, or None.
        facts: Single figures by name, for other pages.
    """

    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    plot: int | None = None
    facts: dict[str, float] = field(default_factory=dict)
    legend: str = ""

    def __str__(self) -> str:
        """As text."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        shown = [
            "  ".join(
                cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(line)
            )
            for line in ([*zip(line, widths, strict=True)] for line in lines)
        ]
        return "\n".join([f"\n{self.title}", f"({self.note})", *(f"  {line}" for line in shown), self.legend])

    def markdown(self) -> str:
        """As a section of a page."""
        head = [f"| {' | '.join(self.columns)} |", f"| --- |{' ---: |' * (len(self.columns) - 1)}"]
        rows = [f"| {' | '.join(row)} |" for row in self.rows]
        # Narrow columns: a figure that must be scrolled to is not seen.
        table = ['<div class="figures" markdown>', "", *head, *rows, "", "</div>"]
        return "\n".join([f"## {self.title}", "", self.note, "", *table, *(["", self.legend] if self.legend else [])])


def keep(name: str, tables: list[Table], versions: dict[str, str]) -> None:
    """Write tables down for the page, with the day, the machine and the versions of packages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {"day": date.today().isoformat(), "machine": machine(), "packages": versions}
    content = {**found, "tables": [asdict(table) for table in tables]}
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(name: str) -> tuple[dict[str, Any], list[Table]] | None:
    """What was written down under a name, or None."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return content, [Table(**table) for table in content.pop("tables")]


def machine() -> str:
    """What it runs on, without a name."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def versions_of(*packages: str) -> dict[str, str]:
    """The versions of installed packages."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
