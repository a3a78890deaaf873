"""The thread that ends reads of sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from tframex.exchange._watchdog import Watchdog


def test_a_socket_that_is_watched_too_long_ends_for_its_reader() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(0.05).watching(ours):
        assert ours.recv(1) == b""


def test_a_socket_that_is_no_longer_watched_is_left_alone() -> None:
    dog = Watchdog(0.05)
    ours, theirs = socket.socketpair()
    other, far = socket.socketpair()
    with ours, theirs, other, far:
        with dog.watching(ours):
            pass
        with dog.watching(other):
            other.recv(1)
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_where_no_thread_can_be_started_the_socket_ends_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an exit handler: a read that nothing can end could last forever."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    dog = Watchdog(0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with dog.watching(ours):
                assert ours.recv(1) == b""
        with dog.watching(theirs):
            assert theirs.recv(1) == b""


FORKED = """
import os, socket, sys, warnings
from tframex.exchange._watchdog import Watchdog
warnings.simplefilter("ignore", DeprecationWarning)  # that other threads are there is the point
dog = Watchdog(0.05)
ours, theirs = socket.socketpair()
with dog.watching(ours):
    dog._lock.acquire()
    child = os.fork()
    if child == 0:
        with dog.watching(theirs):
            os._exit(7 if theirs.recv(1) == b"" else 1)
    dog._lock.release()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    """Also if the parent's was busy in the moment of the fork."""
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=30).returncode == 7
    assert time.monotonic() - began < 30
