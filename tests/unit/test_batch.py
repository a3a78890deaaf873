"""Files of requests."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import Colour
from tests.soak.batches import kill, run_large
from tframex import sync
from tframex.errors import (
    AuthenticationError,
    CheckpointError,
    ConfigurationError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelTimeoutError,
    OutputError,
    StreamInterruptedError,
)
from tframex.files._lines import LineFile, count_lines, read_lines
from tframex.model import VLLMModel
from tframex.systems import MultiCallSystem, Progress, _patience
from tframex.testing import FakeVLLM, Fault, ScriptedModel

OFFICIAL = {"method": "POST", "url": "/v1/chat/completions"}


def told(body: Mapping[str, Any]) -> str:
    """For each prompt a different text, of a different length."""
    prompt = body["messages"][-1]["content"]
    return f"About {prompt}: " + "word " * random.Random(prompt).randint(1, 40) + "end."


def requests(count: int) -> list[Any]:
    """Lines of all kinds."""
    kinds: list[Callable[[str], Any]] = [
        lambda name: name,
        lambda name: {"prompt": name, "custom_id": f"my-{name}", "max_tokens": 500},
        lambda name: {"messages": [{"role": "user", "content": name}]},
        lambda name: {
            **OFFICIAL,
            "custom_id": f"official-{name}",
            "body": {"model": "fake", "messages": [{"role": "user", "content": name}], "max_tokens": 500},
        },
    ]
    return [kinds[number % 4](f"topic {number}") for number in range(count)]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def text_of(result: dict[str, Any]) -> str:
    text = result["text"] if "text" in result else result["response"]["body"]["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def test_every_line_is_answered_in_its_place(colour: Colour, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", requests(40))
    source.write_text("\n" + source.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    steps: list[Progress] = []

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model)))
            result = await system.run_file(
                source, tmp_path / "deep" / "out.jsonl", progress=steps.append, temperature=0
            )
        assert (result.lines, result.earlier, result.failed) == (40, 0, 0)
        assert result.usage.completion_tokens > 40

    with FakeVLLM(told) as server:
        colour.run(body)
        assert all(record.body["temperature"] == 0 for record in server.completions())
    found = read(tmp_path / "deep" / "out.jsonl")
    asked = [{"messages": [{"content": f"topic {number}"}]} for number in range(40)]
    assert [text_of(result) for result in found] == [told(body) for body in asked]
    assert [result["custom_id"] for result in found[:4]] == ["line-2", "my-topic 1", "line-4", "official-topic 3"]
    assert found[0]["finish_reason"] == "stop"
    official = found[3]["response"]
    assert (official["status_code"], found[3]["error"]) == (200, None)
    assert official["body"]["object"] == "chat.completion"
    assert official["body"]["choices"][0]["finish_reason"] == "stop"
    assert official["body"]["usage"]["total_tokens"] > official["body"]["usage"]["completion_tokens"] > 0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.jsonl"]
    assert max(step.done for step in steps) == 40


BAD_LINES = [
    ("{not json", "line 1 is not JSON"),
    ("[1, 2]", "line 1 must be a text or an object"),
    ('{"prompt": " "}', 'line 1 has neither a "prompt" nor "messages"'),
    ('{"messages": []}', "neither"),
    ('{"url": "/v1/embeddings", "body": {"input": "x"}}', "only POST /v1/chat/completions"),
    ('{"prompt": "x", "temperature": -1}', "temperature must be non-negative"),
    ('{"prompt": "x", "max_retries": -1}', "max_retries must be a whole number"),
    ('{"messages": [{"role": "king", "content": "x"}]}', "has the role 'king'"),
]


@pytest.mark.parametrize(("line", "complaint"), BAD_LINES)
def test_a_line_that_cannot_be_answered_says_so_in_its_place(line: str, complaint: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{line}\n"good"', encoding="utf-8")
    with FakeVLLM("An answer.") as server, sync.VLLMModel("fake", server.url, "k") as model:
        result = sync.MultiCallSystem("m", model).run_file(source, tmp_path / "out.jsonl")
    found = read(tmp_path / "out.jsonl")
    assert (result.lines, result.failed) == (2, 1)
    assert complaint in found[0]["error"]["message"]
    assert found[1]["text"] == "An answer."


def test_a_broken_answer_is_kept_with_its_error(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", ["one"])
    with (
        FakeVLLM(told, faults=[Fault.stall(2000)]) as server,
        sync.VLLMModel("fake", server.url, "k", resume="never", idle_timeout=0.3) as model,
    ):
        sync.MultiCallSystem("m", model).run_file(source, tmp_path / "out.jsonl")
    error = read(tmp_path / "out.jsonl")[0]["error"]
    assert error["code"] in (ModelTimeoutError.__name__, StreamInterruptedError.__name__)
    assert error["partial"].startswith("About one: word")


def test_the_same_call_again_goes_on_behind_what_is_written(colour: Colour, tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", requests(30)), tmp_path / "out.jsonl"

    async def body() -> None:
        async with colour.make(VLLMModel("fake", server.url, "k")) as model:
            system = colour.make(MultiCallSystem("m", colour.original(model)))
            await system.run_file(source, target)
            complete = target.read_bytes()
            lines = complete.splitlines(keepends=True)
            # A process that was killed while it wrote a line.
            target.write_bytes(b"".join(lines[:12]) + lines[12][:20])
            before = len(server.completions())
            result = await system.run_file(source, target)
            assert (result.lines, result.earlier) == (30, 12)
            assert len(server.completions()) - before == 18
            assert [line["custom_id"] for line in read(target)] == [json.loads(line)["custom_id"] for line in lines]
            assert (await system.run_file(source, target)).earlier == 30
            with pytest.raises(CheckpointError, match="is not the result of line 1 of"):
                await system.run_file(source, target, temperature=1)
            written(source, requests(30)[1:])
            with pytest.raises(CheckpointError, match="another batch, model or option"):
                await system.run_file(source, target)

    with FakeVLLM(told) as server:
        colour.run(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_batch_keeps_what_overtook_and_what_was_begun(backend: str, tmp_path: Path) -> None:
    """The first line takes long; those behind it are done when the run is cancelled, and not asked again."""

    def answer(body: Mapping[str, Any]) -> str:
        return "slow " * 900 + "end" if body["messages"][0]["content"] == "slow" else told(body)

    source, target = written(tmp_path / "in.jsonl", ["slow", *requests(20)]), tmp_path / "out.jsonl"

    async def body() -> None:
        async with VLLMModel("fake", server.url, "k", default_max_tokens=1000) as model:
            system = MultiCallSystem("m", model, max_concurrency=8)
            with anyio.CancelScope() as scope:

                async def cancel(progress: Progress) -> None:
                    if progress.done == 20:
                        scope.cancel()

                await system.run_file(source, target, progress=cancel)
            assert scope.cancelled_caught
            assert target.read_bytes() == b""
            before, tokens = len(server.completions()), server.tokens
            await system.run_file(source, target)
            again = server.completions()[before:]
            # The slow one alone, from where it was.
            assert len(again) == 1
            assert again[0].body.get("continue_final_message")
            assert server.tokens <= tokens + 901
        assert text_of(read(target)[0]) == "slow " * 900 + "end"

    with FakeVLLM(answer, delay=0.004) as server:
        anyio.run(body, backend=backend)


def test_a_server_that_refuses_everybody_ends_the_run(tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", requests(50)), tmp_path / "out.jsonl"
    with FakeVLLM(told, api_key="right") as server:
        with sync.VLLMModel("fake", server.url, "wrong") as model, pytest.raises(AuthenticationError):
            sync.MultiCallSystem("m", model).run_file(source, target)
        assert target.read_bytes() == b""
        with sync.VLLMModel("fake", server.url, "right") as model:
            with pytest.raises(ConfigurationError, match="max_retries"):
                sync.MultiCallSystem("m", model).run_file(source, tmp_path / "other.jsonl", max_retries=-1)
            assert sync.MultiCallSystem("m", model).run_file(source, target).lines == 50
    with sync.VLLMModel("fake", "http://127.0.0.1:9", "k", max_retries=0) as model, pytest.raises(ModelConnectionError):
        sync.MultiCallSystem("m", model).run_file(source, tmp_path / "third.jsonl")


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    system = sync.blocking(MultiCallSystem("m", ScriptedModel("x")))
    source = written(tmp_path / "in.jsonl", ["one"])
    with pytest.raises(ConfigurationError, match="must be different files"):
        system.run_file(source, source)
    with pytest.raises(OutputError, match=r"cannot read .*missing.jsonl: No such file"):
        system.run_file(tmp_path / "missing.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text('{"id": "somebody else\'s"}\n')
    with pytest.raises(CheckpointError):
        system.run_file(source, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"id": "somebody else\'s"}\n'
    with LineFile(tmp_path / "busy.jsonl"), pytest.raises(OutputError, match="another run is writing it"):
        system.run_file(source, tmp_path / "busy.jsonl")


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    hold = "import sys, tframex.files._lines as l; f = l.LineFile(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="another run is writing it"):
            LineFile(path)
        child.kill()
    with LineFile(path) as file:
        file.write(["mine"])
    assert path.read_bytes() == b"mine\n"


def test_a_torn_line_is_cut_off_wherever_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for content, kept in ((b"", b""), (b"torn", b""), (b"a\nb\n", b"a\nb\n"), (b"a\n" + b"x" * (3 << 20), b"a\n")):
        path.write_bytes(content)
        with LineFile(path) as file:
            file.write(["new"])
        assert path.read_bytes() == kept + b"new\n"
    assert count_lines(path) == 2
    assert [number for number, _ in read_lines(path)] == [1, 2]


def test_batches_that_are_killed_go_on() -> None:
    figures = kill(2, seed=4, lines=40)
    assert figures.kills == 2
    assert figures.extra <= 1.1  # of a small one; `make soak` has a larger


def test_a_large_batch_takes_no_more_memory_than_a_small_one() -> None:
    figures = run_large(4000)
    assert figures.lines == 4000
    assert figures.grown < 6  # 2 kB a line; keeping the lines or their answers takes more


def test_a_server_that_dies_in_the_middle_ends_the_run_and_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_patience, "PATIENCE", 0.3)
    source, target = written(tmp_path / "in.jsonl", requests(60)), tmp_path / "out.jsonl"
    server = FakeVLLM(told, delay=0.01)

    def stop(progress: Progress) -> None:
        if progress.done == 20:
            threading.Thread(target=server.stop).start()

    with server, sync.VLLMModel("fake", server.url, "k", max_retries=0) as model:
        with pytest.raises((ModelConnectionError, StreamInterruptedError)):
            sync.MultiCallSystem("m", model, max_concurrency=8).run_file(source, target, progress=stop)
        assert all(result["error"] is None for result in read(target))
        server.start()
        sync.MultiCallSystem("m", model, max_concurrency=8).run_file(source, target)
    found = read(target)
    assert [result["error"] for result in found] == [None] * 60
    assert [text_of(result) for result in found] == [told({"messages": [{"content": f"topic {n}"}]}) for n in range(60)]


def test_a_request_that_nobody_survives_is_an_error_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server resets the connection for one request, and answers the others all the while."""
    monkeypatch.setattr(_patience, "PATIENCE", 1.0)

    def fault(body: Mapping[str, Any]) -> Fault | None:
        return Fault.refuse() if body["messages"][0]["content"] == "topic 3" else None

    source, target = written(tmp_path / "in.jsonl", requests(200)), tmp_path / "out.jsonl"
    with FakeVLLM(told, faults=fault, delay=0.01) as server, sync.VLLMModel("fake", server.url, "k") as model:
        result = sync.MultiCallSystem("m", model, max_concurrency=16).run_file(source, target)
    assert (result.lines, result.failed) == (200, 1)
    assert read(target)[3]["error"]["code"] == "ModelConnectionError"


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'"caf\xe9"'])
def test_a_line_that_no_parser_takes_is_an_error_in_its_place(raw: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(raw + b'\n"good"\r\n')
    system = sync.blocking(MultiCallSystem("m", ScriptedModel("x")))
    assert system.run_file(source, target).failed == 1
    assert system.run_file(source, target).earlier == 2
    source.write_bytes('"one"\n'.encode("utf-16"))
    with pytest.raises(OutputError, match="is UTF-16; save it as UTF-8"):
        system.run_file(source, tmp_path / "other.jsonl")


def test_an_input_that_has_become_shorter_is_noticed(tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["a", "b", "c"]), tmp_path / "out.jsonl"
    system = sync.blocking(MultiCallSystem("m", ScriptedModel("x")))
    system.run_file(source, target)
    before = target.read_bytes()
    written(source, ["a"])
    with pytest.raises(CheckpointError, match="is not the result of any line"):
        system.run_file(source, target)
    assert target.read_bytes() == before


def test_a_line_keeps_its_own_seed(tmp_path: Path) -> None:
    model = ScriptedModel("x")
    source = written(tmp_path / "in.jsonl", [{"prompt": "a", "seed": 42}] * 3)
    anyio.run(MultiCallSystem("m", model).run_file, source, tmp_path / "out.jsonl")
    assert [options["seed"] for _, options in model.calls] == [42, 42, 42]


@pytest.mark.parametrize("backend", ["asyncio", "trio", "sync"])
def test_the_same_call_again_asks_the_failed_lines_again_and_puts_their_answers_in_their_places(
    backend: str, tmp_path: Path
) -> None:
    """Those whose failure may not happen another time; a line that is wrong in itself stays as it is, and is counted."""
    prompts = [f"topic {number}" for number in range(12)]
    lines: list[Any] = [*prompts[:8], {"prompt": " "}, *prompts[8:], {"prompt": "other", "model": "no such model"}]
    source, target = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    broken = {"topic 3": Fault.busy(500), "topic 5": Fault.stall(2000), "topic 10": Fault.busy(500)}

    def fault(body: Mapping[str, Any]) -> Fault | None:
        return broken.get(body["messages"][0]["content"])

    async def body() -> None:
        model = VLLMModel("fake", server.url, "k", resume="never", idle_timeout=0.3, max_retries=0)
        async with colour.make(model) as made:
            system = colour.make(MultiCallSystem("m", colour.original(made)))
            first = await system.run_file(source, target)
            assert (first.lines, first.earlier, first.failed, first.retried) == (14, 0, 5, 0)
            before, complete = target.read_bytes(), len(server.completions())
            kept = await system.run_file(source, target, retry_failed=False)
            assert (kept.lines, kept.earlier, kept.failed, kept.retried) == (14, 14, 5, 0)
            assert (target.read_bytes(), len(server.completions())) == (before, complete)
            del broken["topic 3"], broken["topic 5"]
            second = await system.run_file(source, target)
            assert (second.lines, second.earlier, second.failed, second.retried) == (14, 11, 3, 3)
            assert len(server.completions()) - complete == 3
            broken.clear()
            third = await system.run_file(source, target)
            assert (third.failed, third.retried) == (2, 1)
            assert (await system.run_file(source, target)).retried == 0

    colour = Colour(backend)
    with FakeVLLM(told, faults=fault) as server:
        colour.run(body)
    found = read(target)
    assert [result["custom_id"] for result in found] == [f"line-{number}" for number in range(1, 15)]
    answered = [result for number, result in enumerate(found) if number not in (8, 13)]
    assert [text_of(result) for result in answered] == [told({"messages": [{"content": prompt}]}) for prompt in prompts]
    assert found[8]["error"]["code"] == "invalid_line"
    assert "no such model" in found[13]["error"]["message"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_lines_that_are_asked_again_are_not_paid_for_twice_when_the_run_is_stopped(tmp_path: Path) -> None:
    """Also the output is as it was until all of them are there."""
    source, target = written(tmp_path / "in.jsonl", [f"topic {number}" for number in range(30)]), tmp_path / "out.jsonl"
    faulty = [True]

    def fault(body: Mapping[str, Any]) -> Fault | None:
        return Fault.busy(500) if faulty[0] else None

    def stop(progress: Progress) -> None:
        if progress.done == 10:
            raise SystemExit(7)

    with (
        FakeVLLM(told, faults=fault, delay=0.002) as server,
        sync.VLLMModel("fake", server.url, "k", max_retries=0) as model,
    ):
        system = sync.MultiCallSystem("m", model, max_concurrency=2)
        assert system.run_file(source, target).failed == 30
        faulty[0], before, asked = False, target.read_bytes(), len(server.completions())
        with pytest.raises(SystemExit):
            system.run_file(source, target, progress=stop)
        assert target.read_bytes() == before
        result = system.run_file(source, target)
        assert (result.failed, result.retried) == (0, 30)
        records = [record for record in server.completions()[asked:] if not record.body.get("continue_final_message")]
        # Those in flight when it was stopped may have been sent again, where not a token of them had come.
        assert 30 <= len(records) <= 34
    assert [text_of(line) for line in read(target)] == [
        told({"messages": [{"content": f"topic {n}"}]}) for n in range(30)
    ]


def test_a_retry_that_fails_earlier_does_not_replace_more_of_an_answer(tmp_path: Path) -> None:
    source, target = written(tmp_path / "in.jsonl", ["one"]), tmp_path / "out.jsonl"
    faults = [Fault.stall(4000), Fault.busy(500)]
    with (
        FakeVLLM(told, faults=faults) as server,
        sync.VLLMModel("fake", server.url, "k", resume="never", idle_timeout=0.3, max_retries=0) as model,
    ):
        system = sync.MultiCallSystem("m", model)
        system.run_file(source, target)
        before = target.read_bytes()
        assert read(target)[0]["error"]["partial"]
        assert system.run_file(source, target).failed == 1
        assert target.read_bytes() == before
        assert system.run_file(source, target).failed == 0
    assert read(target)[0]["text"] == told({"messages": [{"content": "one"}]})


@pytest.mark.parametrize("first", [True, False])
def test_a_line_with_a_wrong_model_is_an_error_in_its_place(tmp_path: Path, first: bool) -> None:
    lines: list[Any] = ["one", "two", "three"]
    lines.insert(0 if first else 2, {"prompt": "x", "model": "no such model"})
    source, target = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    with FakeVLLM(told) as server, sync.VLLMModel("fake", server.url, "k") as model:
        result = sync.MultiCallSystem("m", model, max_concurrency=1).run_file(source, target)
    assert (result.lines, result.failed) == (4, 1)
    assert read(target)[0 if first else 2]["error"]["code"] == "404"


def test_a_wrong_model_of_all_lines_ends_the_run(tmp_path: Path) -> None:
    """Although a line with its own model was answered."""
    lines = [{"prompt": "x", "model": "fake"}, "one", "two"]
    source, target = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    with (
        FakeVLLM(told) as server,
        sync.VLLMModel("no such model", server.url, "k") as model,
        pytest.raises(ModelNotFoundError),
    ):
        sync.MultiCallSystem("m", model, max_concurrency=1).run_file(source, target)


def test_two_batches_do_not_share_a_checkpoint(colour: Colour, tmp_path: Path) -> None:
    source, kept = written(tmp_path / "in.jsonl", ["one"]), tmp_path / "kept"
    refused: list[Exception] = []

    def second(_: Progress) -> None:
        system = sync.blocking(MultiCallSystem("other", ScriptedModel("x")))
        try:
            system.run_file(source, tmp_path / "b.jsonl", checkpoint=kept)
        except CheckpointError as error:
            refused.append(error)

    async def body() -> None:
        system = colour.make(MultiCallSystem("m", ScriptedModel("x")))
        await system.run_file(source, tmp_path / "a.jsonl", checkpoint=kept, progress=second)
        assert "is in use by another run" in str(refused[0])
        # Afterwards it is free, and gone.
        await system.run_file(source, tmp_path / "b.jsonl", checkpoint=kept)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "in.jsonl"]

    colour.run(body)
