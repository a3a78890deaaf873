"""Reading from a connection that the event loop has been told to leave alone."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["read_now"]

_MOST = 64 * 1024


def read_now(transport: Any, protocol: Any) -> None:
    """Give what has arrived to the protocol, where that is possible without the event loop.

    Being asked to look, and looking, is half of what a read costs a loop. asyncio's transports can be asked for that
    second half alone. uvloop's cannot, but their sockets can be read: nothing is kept between the two.

    Args:
        transport: A paused transport.
        protocol: That of the connection.
    """
    look = getattr(transport, "_read_ready", None)
    if look is not None:
        look()
        return
    close = getattr(transport, "_force_close", None)
    if close is None or not type(transport).__module__.startswith("uvloop") or transport.get_extra_info("sslcontext"):
        return
    try:
        data = os.read(transport.get_extra_info("socket").fileno(), _MOST)
    except (BlockingIOError, InterruptedError):
        return
    except OSError as exc:
        close(exc)
        return
    if data:  # The loop itself is to see the end.
        protocol.data_received(data)
