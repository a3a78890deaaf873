"""A process that forks while another of its threads is at work on a file: the child does not hang, and keeps nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tframex.files import Journal, LineFile

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")

# A thread is inside what `hold` is called by until the main thread has begun to fork.
PRELUDE = """
import fcntl, os, signal, sys, threading, warnings
from pathlib import Path
from tframex.errors import CheckpointError
from tframex.files import Journal, LineFile, Row
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what is tested
inside, forking = threading.Event(), threading.Event()
os.register_at_fork(before=forking.set)  # hooks of this kind run in reverse order: before those of the package
def hold(*_):
    inside.set()
    forking.wait(60)
def fork(work):
    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # One that hangs ends, too.
    else:
        thread.join(60)
        assert not thread.is_alive()
    return child
def end(child):
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
folder = Path(sys.argv[1])
"""

CLAIMS = """
def held(real):
    def lock(*arguments):
        hold()
        return real(*arguments)
    return lock
flock, lockf = fcntl.flock, fcntl.lockf
fcntl.flock, fcntl.lockf = held(flock), held(lockf)
child = fork(lambda: Journal(folder / "a", "job").close())
if child == 0:
    fcntl.flock, fcntl.lockf = flock, lockf
    Journal(folder / "b", "job").close()
    os._exit(7)
end(child)
"""

WRITES = """
journal = Journal(folder / "a", "job")
journal._database.set_progress_handler(hold, 1)
child = fork(lambda: journal.put(Row("step", "key", 0, 1, True, "paid for", 1, {})))
if child == 0:
    try:
        journal.get("step")
    except CheckpointError as error:
        assert "opened by the process that this one was forked from" in str(error), error
        journal.remove()
        Journal(folder / "b", "job").close()
        sys.exit(7)
journal.close()
end(child)
"""

STARTS = """
from tframex.local import LocalServer, server as module
server = LocalServer()
module.check_package = hold
def start():
    try:
        server.start()
    finally:
        server.stop()
module.check_cpu = lambda: sys.exit()
child = fork(start)
if child == 0:
    server.stop()
    os._exit(7)
end(child)
"""


@pytest.mark.parametrize(
    "code", [CLAIMS, WRITES, STARTS], ids=["claims a file", "writes a checkpoint", "starts a server"]
)
def test_a_child_that_is_forked_while_another_thread_holds_a_lock_does_not_wait_for_it(
    tmp_path: Path, code: str
) -> None:
    done = subprocess.run([sys.executable, "-c", PRELUDE + code, str(tmp_path)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 7
    if code is WRITES:
        with Journal(tmp_path / "a", "job") as journal:
            row = journal.get("step")
        assert row is not None
        assert row.text == "paid for"


KEEPS = """
begun, began = os.pipe()
journal = Journal(folder / "a", "job")
child = os.fork()
if child == 0:
    os.write(began, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(begun, 1)
if sys.argv[2] == "closed":
    journal.close()
print(child, flush=True)
os.kill(os.getpid(), 9)
"""

OPENS = """
from tframex.files import _claim
class Slow(_claim.FileIO):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        hold()
_claim.FileIO = Slow
begun, began = os.pipe()
files = []
child = fork(lambda: files.append(LineFile(folder / "a")))
if child == 0:
    os.write(began, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(begun, 1)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("code", "ended"), [(KEEPS, "closed"), (KEEPS, "killed"), (OPENS, "killed")])
def test_a_child_that_outlives_its_parent_keeps_none_of_its_files(tmp_path: Path, code: str, ended: str) -> None:
    """A checkpoint that the parent has open, and a file that another of its threads is about to claim at the fork."""
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(tmp_path), ended],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.wait(60)
        try:
            os.kill(child, 0)  # It is alive.
            if code is KEEPS:
                Journal(tmp_path / "a", "job").close()
            else:
                LineFile(tmp_path / "a").close()
        finally:
            os.kill(child, signal.SIGKILL)
