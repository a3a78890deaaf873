"""A pytest plugin: runs openai-python's own tests on our classes, and writes down the outcome of each test."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import openai
import pytest

# "official": nothing is swapped; else the default of `resume`.
MODE = os.environ["TFRAMEX_OPENAI_TESTS"]
RESULTS = Path(os.environ["TFRAMEX_OPENAI_RESULTS"])
_results: dict[str, tuple[str, str]] = {}

if MODE != "official":
    import tframex

    for ours in (tframex.OpenAI, tframex.AsyncOpenAI):
        defaults = inspect.unwrap(ours.__init__).__kwdefaults__
        assert defaults is not None
        defaults["resume"] = MODE
    openai.OpenAI = openai.Client = tframex.OpenAI  # type: ignore[misc] # before a test imports it
    openai.AsyncOpenAI = openai.AsyncClient = tframex.AsyncOpenAI  # type: ignore[misc] # likewise


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst outcome of a test's set-up, call and tear-down."""
    if report.when == "call" or report.failed or report.skipped:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash is not None else str(report.longrepr or "")
        if _results.get(report.nodeid, ("passed", ""))[0] == "passed":
            _results[report.nodeid] = (report.outcome, said if report.failed else "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the results, in the process that has them all."""
    if not hasattr(session.config, "workerinput"):
        RESULTS.write_text(json.dumps(_results, indent=0, sort_keys=True))
