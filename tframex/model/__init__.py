"""Models: messages in, text out."""

from tframex.completion import Choice, Completion, Delta, Timings, ToolCall, Usage
from tframex.model.base import BaseModel
from tframex.model.counter import EndpointCounter
from tframex.model.vllm import VLLMModel

__all__ = ["BaseModel", "Choice", "Completion", "Delta", "EndpointCounter", "Timings", "ToolCall", "Usage", "VLLMModel"]
