"""The engine: one answer over as many requests as it takes."""

from tframex.exchange._arrival import Arrival
from tframex.exchange._at_call import at_call
from tframex.exchange._attempt import Attempt
from tframex.exchange._body import is_plain
from tframex.exchange._clock import ReadClock, read_clock
from tframex.exchange._collector import Collector
from tframex.exchange._driver import Clocks, drive
from tframex.exchange._driving import Answering
from tframex.exchange._edge import ErrorEdge
from tframex.exchange._endpoint import Endpoint
from tframex.exchange._event_exchange import EventExchange, EventRequest
from tframex.exchange._event_reader import EventArrival, EventReader
from tframex.exchange._exchange import Exchange
from tframex.exchange._failures import interrupted, started_over, stream_cut, timed_out, unreadable
from tframex.exchange._ladder import Standing, next_rung
from tframex.exchange._lookup import Lookup
from tframex.exchange._models_list import ModelEntry, entry_of, read_json, read_models
from tframex.exchange._observer import Observer
from tframex.exchange._output_ladder import OutputLadder, keywords_refused, may_refuse_form
from tframex.exchange._pace import GATHER, Pace
from tframex.exchange._reader import ResponseReader
from tframex.exchange._request import ChatRequest
from tframex.exchange._retry import (
    DEFAULT_WAIT,
    RetryBudget,
    asks_to_wait,
    is_overload,
    is_transient,
    retry_after_seconds,
    seconds_to_wait,
    wait_retry_after,
)
from tframex.exchange._secrets import Secrets, hide_arguments, hide_values
from tframex.exchange._sendable import check_headers, not_json
from tframex.exchange._served_model import ServedModel
from tframex.exchange._splice import Splice, StartedOverError
from tframex.exchange._sse import EventTooLargeError, SSEDecoder
from tframex.exchange._statuses import error_from_body, status_error
from tframex.exchange._sync_driver import drive_sync, hang_up
from tframex.exchange._text_request import TextRequest
from tframex.exchange._watchdog import Watchdog
from tframex.exchange._wire import (
    Chunk,
    ChunkChoice,
    ChunkDelta,
    ChunkUsage,
    decode_chunk,
    decode_texts,
)

__all__ = [
    "DEFAULT_WAIT",
    "GATHER",
    "Answering",
    "Arrival",
    "Attempt",
    "ChatRequest",
    "Chunk",
    "ChunkChoice",
    "ChunkDelta",
    "ChunkUsage",
    "Clocks",
    "Collector",
    "Endpoint",
    "ErrorEdge",
    "EventArrival",
    "EventExchange",
    "EventReader",
    "EventRequest",
    "EventTooLargeError",
    "Exchange",
    "Lookup",
    "ModelEntry",
    "Observer",
    "OutputLadder",
    "Pace",
    "ReadClock",
    "ResponseReader",
    "RetryBudget",
    "SSEDecoder",
    "Secrets",
    "ServedModel",
    "Splice",
    "Standing",
    "StartedOverError",
    "TextRequest",
    "Watchdog",
    "asks_to_wait",
    "at_call",
    "check_headers",
    "decode_chunk",
    "decode_texts",
    "drive",
    "drive_sync",
    "entry_of",
    "error_from_body",
    "hang_up",
    "hide_arguments",
    "hide_values",
    "interrupted",
    "is_overload",
    "is_plain",
    "is_transient",
    "keywords_refused",
    "may_refuse_form",
    "next_rung",
    "not_json",
    "read_clock",
    "read_json",
    "read_models",
    "retry_after_seconds",
    "seconds_to_wait",
    "started_over",
    "status_error",
    "stream_cut",
    "timed_out",
    "unreadable",
    "wait_retry_after",
]
