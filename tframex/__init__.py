"""TFrameX: models, agents and systems on a vLLM or OpenAI-compatible chat endpoint, fast and dependable.

The names here are asynchronous; `tframex.sync` has the same names for use without `await`. They are imported when they are
first used: `import tframex` alone costs a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tframex.agents import (
        BaseAgent as BaseAgent,
        BasicAgent as BasicAgent,
        ContextAgent as ContextAgent,
        Conversation as Conversation,
        ToolAgent as ToolAgent,
    )
    from tframex.chunking import Chunk as Chunk, Chunker as Chunker, chunk_text as chunk_text
    from tframex.client import (
        APIStreamInterruptedError as APIStreamInterruptedError,
        APIStreamTimeoutError as APIStreamTimeoutError,
        AsyncOpenAI as AsyncOpenAI,
        OpenAI as OpenAI,
    )
    from tframex.errors import (
        ApprovalNeeded as ApprovalNeeded,
        AuthenticationError as AuthenticationError,
        CheckpointError as CheckpointError,
        ChunkingError as ChunkingError,
        ConfigurationError as ConfigurationError,
        ContextLengthError as ContextLengthError,
        LocalServerError as LocalServerError,
        ModelConnectionError as ModelConnectionError,
        ModelError as ModelError,
        ModelNotFoundError as ModelNotFoundError,
        ModelStatusError as ModelStatusError,
        ModelTimeoutError as ModelTimeoutError,
        OutputError as OutputError,
        OutputValidationError as OutputValidationError,
        PartialFailureError as PartialFailureError,
        RateLimitError as RateLimitError,
        ResponseFormatError as ResponseFormatError,
        RunLimitError as RunLimitError,
        StreamInterruptedError as StreamInterruptedError,
        TFrameXError as TFrameXError,
        ToolError as ToolError,
        ToolServerError as ToolServerError,
        UncertainCallError as UncertainCallError,
        WrongLoopError as WrongLoopError,
    )
    from tframex.local import LocalServer as LocalServer
    from tframex.model import (
        BaseModel as BaseModel,
        Choice as Choice,
        Completion as Completion,
        Delta as Delta,
        EndpointCounter as EndpointCounter,
        Output as Output,
        Timings as Timings,
        ToolCall as ToolCall,
        Usage as Usage,
        VLLMModel as VLLMModel,
    )
    from tframex.systems import (
        BaseSystem as BaseSystem,
        BatchResult as BatchResult,
        BestOf as BestOf,
        ChainOfAgents as ChainOfAgents,
        LongTextPrompts as LongTextPrompts,
        LongTextResult as LongTextResult,
        LongTextSystem as LongTextSystem,
        MapReduceSystem as MapReduceSystem,
        MultiCallSystem as MultiCallSystem,
        Progress as Progress,
        ProgressCallback as ProgressCallback,
        Sample as Sample,
        Samples as Samples,
        Source as Source,
        Step as Step,
        Vote as Vote,
    )
    from tframex.tools import (
        AskAgain as AskAgain,
        MCPTools as MCPTools,
        Tool as Tool,
        ToolContext as ToolContext,
        ToolFailure as ToolFailure,
        Toolset as Toolset,
        tool as tool,
    )
    from tframex.tokens import TiktokenCounter as TiktokenCounter, TokenCounter as TokenCounter

__version__ = "0.1.0"

# The module of each public name. Type checkers read the imports above, which a test compares with this.
_MODULES = {
    "tframex.agents": ("BaseAgent", "BasicAgent", "ContextAgent", "Conversation", "ToolAgent"),
    "tframex.chunking": ("Chunk", "Chunker", "chunk_text"),
    "tframex.client": ("APIStreamInterruptedError", "APIStreamTimeoutError", "AsyncOpenAI", "OpenAI"),
    "tframex.errors": (
        "ApprovalNeeded",
        "AuthenticationError",
        "CheckpointError",
        "ChunkingError",
        "ConfigurationError",
        "ContextLengthError",
        "LocalServerError",
        "ModelConnectionError",
        "ModelError",
        "ModelNotFoundError",
        "ModelStatusError",
        "ModelTimeoutError",
        "OutputError",
        "OutputValidationError",
        "PartialFailureError",
        "RateLimitError",
        "ResponseFormatError",
        "RunLimitError",
        "StreamInterruptedError",
        "TFrameXError",
        "ToolError",
        "ToolServerError",
        "UncertainCallError",
        "WrongLoopError",
    ),
    "tframex.local": ("LocalServer",),
    "tframex.model": (
        "BaseModel",
        "Choice",
        "Completion",
        "Delta",
        "EndpointCounter",
        "Output",
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
    "tframex.tools": ("AskAgain", "MCPTools", "Tool", "ToolContext", "ToolFailure", "Toolset", "tool"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = (
    "agents",
    "chunking",
    "client",
    "errors",
    "events",
    "local",
    "model",
    "sync",
    "systems",
    "testing",
    "tokens",
    "tools",
)

if not TYPE_CHECKING:
    __all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
