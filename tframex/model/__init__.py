"""Models: messages in, text out."""

from tframex.completion import Choice, Completion, Delta, Timings, ToolCall, Usage
from tframex.exchange import ModelEntry
from tframex.model._call_record import CallRecord, record_calls, total_usage
from tframex.model._output_growth import OutputGrowth
from tframex.model._output_schema import SentSchema, sent_schema
from tframex.model._partial_answer import PartialAnswer, can_continue, stream_from
from tframex.model._typed_call import typed_call, typed_events
from tframex.model._unwatched import unwatched
from tframex.model._ways import Ways, output_ways, tool_ways
from tframex.model.base import BaseModel
from tframex.model.counter import EndpointCounter
from tframex.model.output import Output
from tframex.model.vllm import VLLMModel

__all__ = [
    "BaseModel",
    "CallRecord",
    "Choice",
    "Completion",
    "Delta",
    "EndpointCounter",
    "ModelEntry",
    "Output",
    "OutputGrowth",
    "PartialAnswer",
    "SentSchema",
    "Timings",
    "ToolCall",
    "Usage",
    "VLLMModel",
    "Ways",
    "can_continue",
    "output_ways",
    "record_calls",
    "sent_schema",
    "stream_from",
    "tool_ways",
    "total_usage",
    "typed_call",
    "typed_events",
    "unwatched",
]
