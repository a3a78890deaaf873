"""TFrameX: models, agents and systems on a vLLM or OpenAI-compatible chat endpoint, fast and dependable.

The names here are asynchronous; `tframex.sync` has the same ones to use without `await`. They are imported when they are
first used: `import tframex` alone costs a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tframex.agents import BaseAgent, BasicAgent, ContextAgent
    from tframex.chunking import Chunk, Chunker, chunk_text
    from tframex.client import APIStreamInterruptedError, AsyncOpenAI, OpenAI
    from tframex.errors import (
        AuthenticationError,
        CheckpointError,
        ChunkingError,
        ConfigurationError,
        ContextLengthError,
        LocalServerError,
        ModelConnectionError,
        ModelError,
        ModelNotFoundError,
        ModelStatusError,
        ModelTimeoutError,
        OutputError,
        PartialFailureError,
        RateLimitError,
        ResponseFormatError,
        StreamInterruptedError,
        TFrameXError,
        WrongLoopError,
    )
    from tframex.local import LocalServer
    from tframex.model import (
        BaseModel,
        Choice,
        Completion,
        Delta,
        EndpointCounter,
        Timings,
        ToolCall,
        Usage,
        VLLMModel,
    )
    from tframex.systems import (
        BaseSystem,
        BatchResult,
        BestOf,
        ChainOfAgents,
        LongTextPrompts,
        LongTextResult,
        LongTextSystem,
        MapReduceSystem,
        MultiCallSystem,
        Progress,
        ProgressCallback,
        Sample,
        Samples,
        Source,
        Step,
        Vote,
    )
    from tframex.tokens import TiktokenCounter, TokenCounter

__version__ = "0.1.0"

__all__ = [
    "APIStreamInterruptedError",
    "AsyncOpenAI",
    "AuthenticationError",
    "BaseAgent",
    "BaseModel",
    "BaseSystem",
    "BasicAgent",
    "BatchResult",
    "BestOf",
    "ChainOfAgents",
    "CheckpointError",
    "Choice",
    "Chunk",
    "Chunker",
    "ChunkingError",
    "Completion",
    "ConfigurationError",
    "ContextAgent",
    "ContextLengthError",
    "Delta",
    "EndpointCounter",
    "LocalServer",
    "LocalServerError",
    "LongTextPrompts",
    "LongTextResult",
    "LongTextSystem",
    "MapReduceSystem",
    "ModelConnectionError",
    "ModelError",
    "ModelNotFoundError",
    "ModelStatusError",
    "ModelTimeoutError",
    "MultiCallSystem",
    "OpenAI",
    "OutputError",
    "PartialFailureError",
    "Progress",
    "ProgressCallback",
    "RateLimitError",
    "ResponseFormatError",
    "Sample",
    "Samples",
    "Source",
    "Step",
    "StreamInterruptedError",
    "TFrameXError",
    "TiktokenCounter",
    "Timings",
    "TokenCounter",
    "ToolCall",
    "Usage",
    "VLLMModel",
    "Vote",
    "WrongLoopError",
    "__version__",
    "chunk_text",
]

_MODULES = {
    "tframex.agents": ("BaseAgent", "BasicAgent", "ContextAgent"),
    "tframex.chunking": ("Chunk", "Chunker", "chunk_text"),
    "tframex.client": ("APIStreamInterruptedError", "AsyncOpenAI", "OpenAI"),
    "tframex.local": ("LocalServer",),
    "tframex.model": (
        "BaseModel",
        "Choice",
        "Completion",
        "Delta",
        "EndpointCounter",
        "Timings",
        "ToolCall",
        "Usage",
        "VLLMModel",
    ),
    "tframex.systems": (
        "BaseSystem",
        "BatchResult",
        "BestOf",
        "ChainOfAgents",
        "LongTextPrompts",
        "LongTextResult",
        "LongTextSystem",
        "MapReduceSystem",
        "MultiCallSystem",
        "Progress",
        "ProgressCallback",
        "Sample",
        "Samples",
        "Source",
        "Step",
        "Vote",
    ),
    "tframex.tokens": ("TiktokenCounter", "TokenCounter"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


_SUBMODULES = ("agents", "chunking", "client", "errors", "local", "model", "sync", "systems", "testing", "tokens")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "tframex.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
