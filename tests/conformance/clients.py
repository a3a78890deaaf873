"""The clients, each in its own environment."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CLIENTS", "Client", "Running"]

ADAPTERS = Path(__file__).with_name("adapters")
ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv" / "clients"


@dataclass(frozen=True)
class Client:
    """A client and how to get it.

    Attributes:
        name: What people call it.
        adapter: The file that drives it.
        packages: What to install; nothing for those that are in this environment, ours above all.
        arguments: What the adapter is told.
    """

    name: str
    adapter: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether it is TFrameX."""
        return not self.packages

    def python(self) -> str:
        """The interpreter that has it; made and filled at first use."""
        if self.ours:
            return sys.executable
        folder = ENVIRONMENTS / self.packages[0].partition("[")[0]
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        if not (folder / "ready").exists():
            print(f"installing {' '.join(self.packages)}", file=sys.stderr, flush=True)
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *self.packages], check=True)
            (folder / "ready").touch()
        return str(python)


CLIENTS = (
    Client("`VLLMModel.call`", "tframex_call.py"),
    Client("`VLLMModel.call_stream`", "tframex_stream.py"),
    Client("`VLLMModel.call_stream`, `interval=0.05`", "tframex_interval.py"),
    Client("sync `VLLMModel.call_stream`", "tframex_sync.py"),
    Client("`tframex.AsyncOpenAI`", "tframex_dropin_async.py"),
    Client("`tframex.AsyncOpenAI`, `interval=0.05`", "tframex_dropin_interval.py"),
    Client("`tframex.OpenAI`", "tframex_dropin_sync.py"),
    Client("openai, async", "openai_async.py", ("openai",)),
    Client("openai, sync", "openai_sync.py", ("openai",)),
    Client("pydantic-ai", "pydanticai.py", ("pydantic-ai-slim[openai]",)),
    Client("LangChain", "langchain_chat.py", ("langchain-openai",)),
    Client("LiteLLM", "litellm_completion.py", ("litellm",)),
    Client("openai-agents", "openai_agents.py", ("openai-agents",)),
    Client("LlamaIndex", "llamaindex.py", ("llama-index-llms-openai-like",)),
    Client("Haystack", "haystack_chat.py", ("haystack-ai",)),
    Client("smolagents", "smolagents_model.py", ("smolagents[openai]",)),
    Client("AutoGen", "autogen_client.py", ("autogen-ext[openai]",)),
    Client("Agno", "agno_agent.py", ("agno", "openai")),
)


class Running:
    """An adapter's process, which is restarted when it hangs.

    Args:
        client: The client.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._process: subprocess.Popen[str] | None = None
        self.about: dict[str, Any] = {}

    def ask(self, command: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Send a command; None if there is no answer in time."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer(seconds)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        self._answers: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [self.client.python(), "-W", "ignore", str(ADAPTERS / self.client.adapter), *self.client.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT if self.client.ours else ADAPTERS,
        )
        threading.Thread(target=self._read, args=(self._process, self._answers), daemon=True).start()
        about = self._answer(120)
        if about is None:
            raise RuntimeError(f"the adapter {self.client.adapter} does not start")
        self.about = about

    @staticmethod
    def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            line = ""
        if not line:
            self.stop()
            return None
        found: dict[str, Any] = json.loads(line)
        return found
