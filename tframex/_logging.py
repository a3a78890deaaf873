"""The `tframex` logger: silent until the application configures `logging`.

An unconfigured `structlog.get_logger()` prints DEBUG lines to stdout, so the standard logger is wrapped with explicit
processors instead; handlers, levels and formats stay the application's choice.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import structlog

__all__ = ["get_logger"]

logging.getLogger("tframex").addHandler(logging.NullHandler())

_SECRETS = frozenset({"api_key", "authorization", "headers", "default_headers"})


def _redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in _SECRETS.intersection(event):
        event[key] = "[redacted]"
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger over `logging.getLogger(name)`; its keywords are rendered as `key=value`."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[
                structlog.stdlib.filter_by_level,
                _redact,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        ),
    )
