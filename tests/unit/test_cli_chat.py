"""`tframex chat`, and the tools that a command line names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit.test_cli import CLEAN, heeds_ctrl_c, tframex, until
from tests.unit.test_conversation import condensing
from tframex.testing import Answer, FakeVLLM, Fault

__all__ = ["heeds_ctrl_c"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def counting(request: Mapping[str, Any]) -> str:
    """An answer that says how much of the conversation has arrived."""
    return f"{len(request['messages'])} messages, the last: {request['messages'][-1]['content']}"


def chat(server: FakeVLLM, stdin: str, *words: str, **environ: str) -> Any:
    return tframex("chat", *words, stdin=stdin, API_URL=server.url, **environ)


# -- piped -----------------------------------------------------------------------------------------------------------------


def test_piped_lines_are_prompts_of_one_conversation() -> None:
    with FakeVLLM(counting) as server:
        done = chat(server, "one\n\ntwo é\n three", "--system", "Be brief.", "--max-tokens", "50", "-o", "top_k=7")
        body = server.completions()[-1].body
    assert done.exit_code == 0
    assert done.stdout == "2 messages, the last: one\n4 messages, the last: two é\n6 messages, the last: three\n"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["max_tokens"], body["top_k"]) == (50, 7)
    assert done.stderr == ""


def test_a_chat_can_be_kept_and_continued(folder: Path) -> None:
    with FakeVLLM(counting) as server:
        chat(server, "one\n", "--history", "new/talk.jsonl")
        done = chat(server, "two\n", "--history", "new/talk.jsonl")
    assert done.stdout == "3 messages, the last: two\n"
    assert len((folder / "new" / "talk.jsonl").read_text().splitlines()) == 3


def test_the_commands_of_a_chat() -> None:
    lines = [
        "one", "two", "/tokens", "/undo", "/undo", "/undo", "/system", "/system Be kind.", "/system", "three", "/system -",
        "/clear", "four", "/save copy.jsonl", "/save copy.jsonl",
    ]  # fmt: skip
    with FakeVLLM(counting, context_window=1000) as server:
        done = chat(server, "\n".join(lines))
        asked = [record.body["messages"] for record in server.completions()]
        continued = chat(server, "five", "--history", "copy.jsonl")
    said = done.stderr.splitlines()
    assert re.fullmatch(r"\d+ tokens of a window of 1000 \(\d+%\); 2 turns", said[0])
    assert said[1:6] == [
        "Taken back: two", "Taken back: one", "There is nothing to take back.",
        "There are no instructions; /system TEXT gives some.", "Changed, from the next prompt on.",
    ]  # fmt: skip
    assert said[6:10] == ["Be kind.", "Changed, from the next prompt on.", "Forgotten.", "Saved: copy.jsonl"]
    # A program is told by the exit code.
    assert "copy.jsonl exists already" in said[10]
    assert done.exit_code == 1
    assert [message["content"] for message in asked[2]] == ["Be kind.", "three"]
    assert [message["content"] for message in asked[3]] == ["four"]
    assert continued.stdout == "3 messages, the last: five\n"


def test_a_chat_ends_with_a_command_and_names_those_that_there_are() -> None:
    with FakeVLLM(counting) as server:
        done = chat(server, "/help\n/nonsense\n/save\n /said\n/quit\nnever", "-q")
        assert len(server.completions()) == 1
    assert done.exit_code == 0
    assert done.stdout == "1 messages, the last: /said\n"
    for name in ("/help", "/clear", "/undo", "/save FILE", "/system [TEXT]", "/tokens", "/exit"):
        assert f"{name} " in done.stderr
    assert "There is no command /nonsense" in done.stderr
    assert "Name a file: /save FILE" in done.stderr


def test_answers_for_a_program_are_objects() -> None:
    with FakeVLLM(counting) as server:
        done = chat(server, "one\n/undo\ntwo", "--json")
    first, remark, second = map(json.loads, done.stdout.splitlines())
    assert first["text"] == "1 messages, the last: one"
    assert first["usage"]["completion_tokens"] > 0
    assert remark == {"remark": "Taken back: one"}
    assert second["text"] == "1 messages, the last: two"


def test_a_piped_chat_ends_with_the_first_error() -> None:
    with FakeVLLM(counting, faults=[None, Fault.answer(b'{"error":"no"}', status=400)]) as server:
        done = chat(server, "one\ntwo\nthree")
        assert len(server.completions()) == 2
    assert done.exit_code == 1
    assert "The conversation is as it was before this turn" in done.stderr
    with FakeVLLM(counting) as server:
        done = tframex("chat", stdin=b"\xff\n", API_URL=server.url)  # type: ignore[arg-type] # bytes, as they may come
    assert done.exit_code == 2
    assert "standard input is not UTF-8" in done.stderr


def test_a_chat_says_when_it_condenses_and_when_an_answer_is_cut_off() -> None:
    prompts = "".join(f"number {number} please\n" for number in range(1, 41))
    with FakeVLLM(condensing, context_window=500) as server:
        done = chat(server, f"{prompts}/tokens", "--max-tokens", "8")
    assert len(done.stdout.splitlines()) == 40
    assert "Condensing what was said, to make room ..." in done.stderr
    assert "The answer was cut off at its token limit; raise --max-tokens." in done.stderr
    assert " of them as a summary" in done.stderr.splitlines()[-1]


# -- tools -----------------------------------------------------------------------------------------------------------------

TOOLS = '''
from tframex import Toolset, tool

def weather(city: str) -> str:
    """The forecast for a city."""
    return f"{city}: rain"

@tool
def clock(city: str) -> str:
    """The time in a city."""
    return f"{city}: noon"

both = [weather, clock]
TEXT = "no tool"
kit = Toolset(both)
'''


def play(request: Mapping[str, Any]) -> Answer:
    last = request["messages"][-1]
    return Answer("It rains.") if last["role"] == "tool" else Answer("I look.", calls=[("weather", {"city": "Bern"})])


@pytest.mark.parametrize(
    "names", [["kit_of_bern:weather"], ["kit_of_bern:both"], ["kit_of_bern:kit"], ["kit_of_bern.py:weather"]]
)
@pytest.mark.parametrize("command", ["run", "chat"])
def test_the_model_may_call_the_tools_that_are_named(folder: Path, names: list[str], command: str) -> None:
    (folder / "kit_of_bern.py").write_text(TOOLS)
    words = [word for name in names for word in ("--tools", name)]
    with FakeVLLM(play) as server:
        stdin = "Rain?" if command == "chat" else None
        asked = [command, *(["Rain?"] if command == "run" else [])]
        done = tframex(*asked, *words, stdin=stdin, API_URL=server.url)
        tools = server.completions()[0].body["tools"]
    sys.modules.pop("kit_of_bern", None)
    assert done.exit_code == 0, done.output
    # What the model has written before the call is not the answer.
    assert done.stdout == "It rains.\n"
    assert 'weather({"city": "Bern"})' in done.stderr
    assert "-> Bern: rain" in done.stderr
    assert tools[0]["function"]["name"] == "weather"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["weather"], "--tools takes MODULE:NAME"),
        (["nowhere:weather"], "cannot be imported: ModuleNotFoundError"),
        (["broken.py:weather"], "cannot be imported: ZeroDivisionError"),
        (["kit_of_bern:nothing"], "kit_of_bern has no nothing"),
        (["kit_of_bern:TEXT"], "a tool must be made of a function"),
    ],
)
def test_a_tool_that_cannot_be_found_is_named(folder: Path, names: list[str], said: str) -> None:
    (folder / "kit_of_bern.py").write_text(TOOLS)
    (folder / "broken.py").write_text("1 / 0")
    with FakeVLLM(play) as server:
        done = tframex("run", "x", *[word for name in names for word in ("--tools", name)], API_URL=server.url)
        assert server.completions() == []
    sys.modules.pop("kit_of_bern", None)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


# -- on a terminal ---------------------------------------------------------------------------------------------------------


class Screen:
    """A chat on a terminal, and what it has shown."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self.shown = ""
        self._seen = 0
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        # Linux reports the end as an error.
        with suppress(OSError):
            while data := os.read(self.terminal, 4096):
                self.shown += data.decode()

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def wait(self, text: str) -> None:
        """Until a text has appeared after those that were waited for before."""
        until(lambda: text in self.shown[self._seen :])
        self._seen = self.shown.index(text, self._seen) + len(text)

    def end(self) -> int:
        code = self.process.wait(30)
        self._reading.join(30)
        return code


@contextmanager
def screen(server: FakeVLLM, *words: str, **environ: str) -> Iterator[Screen]:
    import pty

    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in CLEAN}
    process = subprocess.Popen(
        [sys.executable, "-m", "tframex", "chat", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**plain, "PYTHONPATH": str(ROOT), "API_URL": server.url, "TERM": "xterm", "NO_COLOR": "", **environ},
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


needs_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal that a program can open")


@needs_a_terminal
@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_stops_the_answer_and_not_the_chat_and_ctrl_d_ends_it() -> None:
    with FakeVLLM("word " * 900, delay=0.01) as server, screen(server, "--max-tokens", "1000") as shown:
        shown.wait("/help shows the commands, Ctrl-D ends the chat.")
        shown.wait("> ")
        shown.type("first\n")
        shown.wait("word word word")
        shown.process.send_signal(signal.SIGINT)
        shown.wait("Stopped. What was said before is remembered, this prompt is not.")
        until(lambda: server.completions()[0].hung_up is not None)
        shown.wait("> ")
        server.delay = 0
        shown.type("second\\\n")
        shown.wait(". ")
        shown.type("line\n")
        shown.wait("> ")
        shown.process.send_signal(signal.SIGINT)
        shown.wait("Ctrl-D or /exit ends the chat.")
        shown.type("/tokens\n")
        shown.wait("; 1 turn")
        shown.wait("> ")
        shown.type("\x04")
        assert shown.end() == 0
        assert server.completions()[-1].body["messages"] == [{"role": "user", "content": "second\nline"}]
    assert "Traceback" not in shown.shown


@needs_a_terminal
def test_an_error_does_not_end_a_chat_on_a_terminal() -> None:
    with FakeVLLM(counting, faults=[Fault.answer(b'{"error":"no"}', status=400)]) as server, screen(server) as shown:
        shown.wait("> ")
        shown.type("first\n")
        shown.wait("The conversation is as it was before this turn.")
        shown.wait("> ")
        shown.type("/save\n")
        shown.wait("Name a file")
        shown.wait("> ")
        shown.type("second\n")
        shown.wait("1 messages, the last: second")
        shown.type("/exit\n")
        assert shown.end() == 0


PAY = '''
from tframex import tool

@tool(approve=True)
def pay(amount: int) -> str:
    """Pay an amount."""
    with open("paid", "a") as file:
        file.write(f"{amount} ")
    return f"{amount} paid"
'''


@needs_a_terminal
def test_a_chat_asks_before_a_call_that_needs_approval(folder: Path) -> None:
    (folder / "purse.py").write_text(PAY)

    def paying(request: Mapping[str, Any]) -> Answer:
        last = request["messages"][-1]
        amount = 5 if "five" in last["content"] else 7
        return (
            Answer(f"So: {last['content']}") if last["role"] == "tool" else Answer(calls=[("pay", {"amount": amount})])
        )

    with FakeVLLM(paying) as server, screen(server, "--tools", "purse:pay") as shown:
        shown.wait("> ")
        shown.type("Pay five.\n")
        shown.wait('Run pay({"amount": 5})? [y/N] ')
        shown.type("y\n")
        shown.wait("So: 5 paid")
        shown.wait("> ")
        shown.type("Pay seven.\n")
        shown.wait('Run pay({"amount": 7})? [y/N] ')
        shown.type("\n")
        shown.wait("So: The user has denied this call")
        shown.wait("> ")
        shown.type("/tokens\n")
        shown.wait("2 turns")
        shown.type("/exit\n")
        assert shown.end() == 0
        # Each answer was asked for once.
        assert len(server.completions()) == 4
    assert (folder / "paid").read_text() == "5 "


@needs_a_terminal
@pytest.mark.parametrize("plain", [True, False])
def test_a_chat_without_colour_has_none(folder: Path, plain: bool) -> None:
    (folder / "kit_of_bern.py").write_text(TOOLS)

    def thinking(request: Mapping[str, Any]) -> Answer:
        last = request["messages"][-1]
        return Answer("Rain.", "So.") if last["role"] == "tool" else Answer("", "Hm.", [("weather", {"city": "Bern"})])

    with FakeVLLM(thinking) as server:
        environ = {"NO_COLOR": "1"} if plain else {}
        with screen(server, "--tools", "kit_of_bern:weather", **environ) as shown:
            shown.wait("> ")
            shown.type("Rain?\n")
            for text in ("Hm.", 'weather({"city": "Bern"})', "-> Bern: rain", "So.", "Rain."):
                shown.wait(text)
            shown.type("/exit\n")
            assert shown.end() == 0
    assert ("\x1b[2m" in shown.shown or "\x1b[31m" in shown.shown) is not plain
