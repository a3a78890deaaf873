"""The file of a conversation: readable, continued, and complete whenever its process dies."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import ROOT, Colour
from tests.unit.test_conversation import assistant, condensing, said, talk, user
from tframex.agents import BasicAgent, Conversation
from tframex.errors import ConfigurationError, OutputError
from tframex.files import LineFile
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, ScriptedModel


def agent(script: Any = "Yes.") -> BasicAgent:
    return BasicAgent("clerk", ScriptedModel(script))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_turn_is_a_line_that_a_person_can_read(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        conversation = talk(colour, BasicAgent("clerk", VLLMModel("fake", server.url, "k")), path)
        await conversation.say("Grüße, 静か?")
        assert len(path.read_text(encoding="utf-8").splitlines()) == 2
        await conversation.say("two")
        conversation.close()

    path = tmp_path / "new" / "talk.jsonl"
    with FakeVLLM(said) as server:
        colour.run(body)
    header, first, second = records(path)
    assert (header["conversation"], header["agent"]) == (1, "clerk")
    assert list(first) == ["turn", "time", "messages"]
    assert first["messages"] == [user("Grüße, 静か?"), assistant("You said: Grüße, 静か?")]
    assert second["turn"] == 2
    assert "Grüße, 静か?" in path.read_text(encoding="utf-8")


def test_the_same_path_continues_the_conversation(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        first = talk(colour, agent(["one.", "two.", "three."]), path)
        for prompt in ("1", "2", "3"):
            await first.say(prompt)
        await first.undo()
        first.close()
        second = talk(colour, agent(["four."]), path)
        assert second.messages == [user("1"), assistant("one."), user("2"), assistant("two.")]
        await second.say("4")
        before = second.turns
        second.close()
        third = talk(colour, agent(), path)
        assert third.turns == before
        await third.clear()
        third.close()
        with Conversation(agent(), path) as fourth:
            assert fourth.messages == []

    path = tmp_path / "talk.jsonl"
    colour.run(body)


def test_a_condensed_conversation_is_continued_with_its_summary(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        with FakeVLLM(condensing, context_window=500) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")), path)
            for number in range(1, 41):
                await conversation.say(f"number {number} please", max_tokens=60)
            conversation.close()
            again = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")), path)
            assert again.messages == conversation.messages
            assert again.turns == conversation.turns
            assert 0 < again.condensed < 40
            # Taking back turns that are in the summary sends what was before them as it was.
            for number in range(40, 1, -1):
                assert await again.undo() == f"number {number} please"
            assert again.messages == again.turns[0]
            await again.save(tmp_path / "copy.jsonl")
            again.close()
        with Conversation(agent(), tmp_path / "copy.jsonl") as copy:
            assert copy.turns == again.turns

    path = tmp_path / "talk.jsonl"
    colour.run(body)


def test_a_copy_has_the_summary_and_replaces_nothing(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        with FakeVLLM(condensing, context_window=500) as server:
            conversation = talk(colour, BasicAgent("a", VLLMModel("fake", server.url, "k")))
            for number in range(1, 31):
                await conversation.say(f"number {number} please", max_tokens=60)
        await conversation.save(path)
        with pytest.raises(OutputError, match="exists already"):
            await conversation.save(path)
        with Conversation(agent(), path) as copy:
            assert copy.messages == conversation.messages
            assert copy.turns == conversation.turns

    path = tmp_path / "copy.jsonl"
    colour.run(body)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    with Conversation(agent(), path):
        with pytest.raises(OutputError, match="another run is writing it, in this process or in another"):
            Conversation(agent(), path)
        code = f"from tests.unit.test_conversation_file import *\nConversation(agent(), {str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "another run is writing it" in done.stderr
    Conversation(agent(), path).close()


def test_a_file_that_is_no_conversation_is_left_as_it_was(tmp_path: Path) -> None:
    for content in ("Notes without a line end", '{"role": "user"}\n', '{"conversation": 9}\n{"turn": 1}\n'):
        path = tmp_path / "notes.txt"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(OutputError, match="is not a conversation|another version"):
            Conversation(agent(), path)
        assert path.read_text(encoding="utf-8") == content


def filled(path: Path) -> list[bytes]:
    with Conversation(agent(["one.", "two é."]), path) as conversation:
        _say(conversation, "1")
        _say(conversation, "2 é")
    return path.read_bytes().splitlines(keepends=True)


def _say(conversation: Conversation, prompt: str) -> None:
    Colour("sync").run(lambda: Colour("sync").make(conversation).say(prompt))


def test_a_file_that_was_cut_at_any_byte_has_all_complete_turns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "talk.jsonl"
    lines = filled(path)
    content = b"".join(lines)
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        caplog.clear()
        with caplog.at_level(logging.WARNING, "tframex"), Conversation(agent(["three."]), path) as conversation:
            complete = content[:end].count(b"\n")
            assert len(conversation.turns) == max(0, complete - 1)
            assert ("the last line was not complete" in caplog.text) is (end > 0 and not content[:end].endswith(b"\n"))
            _say(conversation, "3")
            turns = conversation.turns
        with Conversation(agent(), path) as conversation:
            assert conversation.turns == turns


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b'{"turn": 3}\n', b'{"turn": 9, "messages": []}\n', b"[]\n", b"{}\n"])
def test_a_damaged_last_line_is_left_out_with_a_warning_and_one_in_the_middle_is_named(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "talk.jsonl"
    header, first, second = filled(path)
    path.write_bytes(header + first + second + damage)
    with caplog.at_level(logging.WARNING, "tframex"), Conversation(agent(["three."]), path) as conversation:
        assert len(conversation.turns) == 2
        assert "the last line is damaged" in caplog.text
        _say(conversation, "3")
    with Conversation(agent(), path) as conversation:
        assert len(conversation.turns) == 3
    path.write_bytes(header + first + damage + second)
    with pytest.raises(OutputError, match="line 3 of the conversation .* is damaged"):
        Conversation(agent(), path)
    assert path.read_bytes() == header + first + damage + second


def test_an_answer_that_cannot_be_saved_is_kept_and_saved_with_the_next_one(
    colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        conversation = talk(colour, agent(["one.", "two.", "three."]), path)
        await conversation.say("1")
        with monkeypatch.context() as patched:
            patched.setattr(LineFile, "write", full)
            with pytest.raises(OutputError, match="The answer is part of the conversation, and is saved with the next"):
                await conversation.say("2")
        assert len(conversation.turns) == 2
        await conversation.say("3")
        conversation.close()
        with Conversation(agent(), path) as again:
            assert again.turns == conversation.turns
            assert len(again.turns) == 3

    def full(file: LineFile, lines: list[str]) -> None:
        with file.path.open("ab") as half:
            half.write(lines[0].encode()[:20])
        raise OutputError(f"cannot write: {os.strerror(errno.ENOSPC)}", path=str(path))

    path = tmp_path / "talk.jsonl"
    colour.run(body)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_write_into_its_parent_s_conversation(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from tests.unit.test_conversation_file import *\n"
        "from tests.unit.test_conversation_file import _say\n"
        f"conversation = Conversation(agent(), {str(tmp_path / 'talk.jsonl')!r})\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        _say(conversation, '1')\n"
        "    except OutputError as error:\n"
        "        os._exit(7 if 'forked from' in str(error) else 1)\n"
        "    os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "conversation.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
    assert len(records(tmp_path / "talk.jsonl")) == 1


def test_a_process_that_is_killed_anywhere_loses_at_most_the_turn_it_was_in(tmp_path: Path) -> None:
    random_ = random.Random(7)
    path = tmp_path / "talk.jsonl"
    with FakeVLLM(condensing, context_window=500) as server:
        said_by_all = 0
        for _ in range(12):
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.killed_conversation", str(path), server.url],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdout is not None
            last = said_by_all
            for _ in range(random_.randint(1, 12)):
                last = int(child.stdout.readline())
            for _ in range(random_.randint(0, 2000)):
                pass
            child.kill()
            last = max([last, *map(int, child.stdout.read().split())])
            child.wait()
            child.stdout.close()
            with Conversation(agent(), path) as conversation:
                turns = conversation.turns
            assert last <= len(turns) <= last + 1
            assert [turn[0]["content"] for turn in turns] == [f"number {n + 1} please" for n in range(len(turns))]
            said_by_all = len(turns)
        # No prompt was paid twice, but for those that were killed.
        assert said_by_all > 20


def test_a_conversation_whose_file_is_closed_says_so_before_anything_is_asked(colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"

    async def body() -> None:
        conversation = talk(colour, BasicAgent("clerk", VLLMModel("fake", server.url, "k")), path)
        await conversation.say("one")
        conversation.close()
        for change in (lambda: conversation.say("two"), conversation.undo, conversation.clear):
            with pytest.raises(ConfigurationError, match="is closed; nothing was sent"):
                await change()
        assert len(server.completions()) == 1

    with FakeVLLM(said) as server:
        colour.run(body)
    assert len(records(path)) == 2


def test_a_file_that_is_closed_in_the_middle_of_a_turn_is_not_written(tmp_path: Path) -> None:
    """Another process may have it."""
    path = tmp_path / "talk.jsonl"

    async def body() -> None:
        conversation = Conversation(agent(), path)
        with pytest.raises(OutputError, match="was closed before this was saved"):
            async for _ in conversation.stream("one"):
                conversation.close()
        assert [message["role"] for message in conversation.messages] == ["user", "assistant"]

    anyio.run(body)
    assert len(records(path)) == 1
