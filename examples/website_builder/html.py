"""Builds a small website: a plan, the plan split into files, the files generated in parallel.

Run it with `python examples/website_builder/html.py "a site about lighthouses"`.
"""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
# Python puts this folder first on sys.path, where this file would be found in place of the standard library's `html`.
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place).resolve() != HERE)]

import argparse
import asyncio
import json
import re
from typing import Any

import anyio
from _setup import get_model

from tframex import ConfigurationError, TFrameXError
from tframex.agents import BasicAgent
from tframex.model import VLLMModel

OUTPUT = HERE / "generated_website"
KINDS = {".html", ".css", ".js", ".txt", ".md", ".svg"}
MOST_FILES = 8

PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "files": {
            "type": "array",
            "minItems": 2,
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "pattern": r"^[a-z0-9_-]{1,30}\.(html|css|js)$"},
                    "purpose": {"type": "string", "maxLength": 120},
                },
                "required": ["path", "purpose"],
            },
        }
    },
    "required": ["files"],
}


def safe_path(folder: Path, name: str) -> Path | None:
    r"""Where a file whose name the model has chosen goes: below `folder`, or nowhere.

    A model may invent `../../.bashrc`, `/etc/passwd`, `C:\boot.ini` or a name with a NUL in it.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    clean = [re.sub(r"[^\w.-]", "_", part) for part in parts if part not in ("/", ".", "..", "")]
    clean = [part.strip(".") for part in clean if part.strip(".")]
    if not clean or len(clean) > 4 or Path(clean[-1]).suffix.lower() not in KINDS:
        return None
    path = folder.joinpath(*clean)
    # A link inside the folder must not lead out of it either.
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def read_plan(text: str) -> dict[str, str]:
    """The files of a plan, by path."""
    try:
        files = json.loads(text)["files"]
        plan = {str(file["path"]): str(file["purpose"]) for file in files}
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(f"the model's plan is not the JSON that was asked for: {text[:200]!r}") from exc
    return dict(list(plan.items())[:MOST_FILES])


def strip_fences(text: str) -> str:
    """The code of an answer, without the Markdown around it and without reasoning."""
    text = re.sub(r"(?s)<think>.*?(</think>|$)", "", text)
    block = re.search(r"(?s)```[\w-]*\n(.*?)(```|$)", text)
    return (block.group(1) if block else text).strip() + "\n"


async def build(model: VLLMModel, wish: str, folder: Path = OUTPUT) -> list[Path]:
    """Plan, generate and write a website; returns the files."""
    planner = BasicAgent("planner", model)
    print("Planning ...")
    plan = read_plan(
        await planner.run(
            f"Plan a small website: {wish}. List its files (index.html first) as JSON.",
            response_format={"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN_SCHEMA}},
            reasoning="drop",
            max_tokens=400,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    async def generate(name: str, purpose: str) -> None:
        path = safe_path(folder, name)
        if path is None:
            print(f"  {name!r}: not a file of a website, left out")
            return
        prompt = f"Write the file {name} of a website: {wish}. It is for: {purpose}. Answer with the file's code alone."
        try:
            code = strip_fences(await BasicAgent(name, model).run(prompt))
        except TFrameXError as error:
            print(f"  {name}: {error}")
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        except OSError as error:
            print(f"  {name}: {error}")
            return
        written.append(path)
        print(f"  {path.relative_to(folder)}: {len(code)} characters")

    print(f"Generating {len(plan)} files ...")
    async with anyio.create_task_group() as group:
        for name, purpose in plan.items():
            group.start_soon(generate, name, purpose)
    return written


async def main() -> None:
    """Build what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wish", nargs="?", default="a site about the ferry of Saltmere")
    wish = parser.parse_args().wish
    async with get_model() as model:
        files = await build(model, wish)
    print(f"{len(files)} files in {OUTPUT}")


if __name__ == "__main__":
    asyncio.run(main())
