"""What the examples share: where the model comes from, and where results go."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

from tframex import Progress, sync
from tframex.model import VLLMModel

HERE = Path(__file__).parent
OUTPUTS = HERE / "example_outputs"

# The small local model reads 100 tokens a second and is easily confused: short prompts, short answers.
LOCAL: dict[str, Any] = {"server": {"slots": 2, "context_window": 2048}, "default_max_tokens": 120}


def get_model() -> VLLMModel:
    """The endpoint of `.env` or the environment; without `API_URL`, a small model on this machine."""
    return VLLMModel.local(**LOCAL, default_temperature=0.0) if use_local_model() else VLLMModel.from_env()


def get_sync_model() -> sync.VLLMModel:
    """The same for synchronous code."""
    return sync.VLLMModel.local(**LOCAL, default_temperature=0.0) if use_local_model() else sync.VLLMModel.from_env()


def use_local_model() -> bool:
    """Whether there is no endpoint to use."""
    load_dotenv(HERE.parent / ".env")
    if os.environ.get("API_URL"):
        return False
    print("API_URL is not set (see .env.example): starting the small local model instead.\n")
    return True


def save(name: str, text: str) -> None:
    """Keep a result below `example_outputs/`."""
    OUTPUTS.mkdir(exist_ok=True)
    (OUTPUTS / name).write_text(text, encoding="utf-8")
    print(f"-> {(OUTPUTS / name).relative_to(HERE.parent)}\n")


class ShowProgress:
    """Prints a line for each finished step."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, step: Progress) -> None:
        """Show one step."""
        detail = " ".join(step.detail.split())
        seconds = time.monotonic() - self._started
        print(f"[{step.done}/{step.total}] {step.stage}, {seconds:.0f} s: {detail[:90]}", file=sys.stderr, flush=True)
