"""The `tframex` command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.conftest import ROOT
from tframex.cli._app import app
from tframex.cli._endpoint import EndpointOptions
from tframex.testing import Answer, FakeVLLM, Fault

TEXT = "Red, green and blue."
SECRET = "sk-not-for-anybody-else"
CLEAN = dict.fromkeys(("API_URL", "API_KEY", "MODEL_NAME", "OPENAI_BASE_URL", "OPENAI_API_KEY", "MAX_TOKENS"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[FakeVLLM]:
    with FakeVLLM(TEXT, model="Qwen/Qwen3-8B") as fake:
        yield fake


def tframex(*words: str, stdin: str | None = None, **environ: str) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, env={**CLEAN, **environ}, prog_name="tframex")


def asked(server: FakeVLLM) -> dict[str, Any]:
    return server.completions()[-1].body


def test_an_answer_goes_to_standard_output_and_everything_else_to_standard_error(server: FakeVLLM) -> None:
    done = tframex("run", "Name three colours.", API_URL=server.url)
    assert (done.exit_code, done.stdout) == (0, f"{TEXT}\n")
    assert "tokens read" in done.stderr
    quiet = tframex("run", "Name three colours.", "-q", API_URL=server.url)
    assert (quiet.stdout, quiet.stderr) == (f"{TEXT}\n", "")


def test_the_options_reach_the_endpoint(server: FakeVLLM) -> None:
    words = ["--max-tokens", "7", "--temperature", "0", "-o", "top_k=20", "-o", "stop=END", "--system", "Be brief."]
    done = tframex("run", "-", *words, stdin="From a pipe", API_URL=server.url, MAX_TOKENS="99")
    assert done.exit_code == 0
    body = asked(server)
    assert [m["content"] for m in body["messages"]] == ["Be brief.", "From a pipe"]
    assert (body["max_tokens"], body["temperature"], body["top_k"], body["stop"]) == (7, 0, 20, "END")
    assert "raise --max-tokens" not in done.stderr


def test_an_answer_that_is_cut_off_says_so() -> None:
    with FakeVLLM("one two three four five") as server:
        done = tframex("run", "x", "--max-tokens", "2", API_URL=server.url)
        assert done.stdout == "one two\n"
        assert "raise --max-tokens" in done.stderr
        assert json.loads(tframex("run", "x", "--max-tokens", "2", "--json", API_URL=server.url).stdout) | {
            "seconds": 0,
            "first_token_seconds": 0,
        } == {
            "text": "one two",
            "reasoning": "",
            "finish_reason": "length",
            "model": "fake",
            "usage": {
                "prompt_tokens": 25,
                "completion_tokens": 2,
                "cached_tokens": None,
                "reasoning_tokens": None,
                "estimated": False,
            },
            "seconds": 0,
            "first_token_seconds": 0,
            "retries": 0,
            "resumes": 0,
        }


def test_the_endpoint_comes_from_options_then_the_environment_then_the_file(folder: Path) -> None:
    with FakeVLLM("file") as file, FakeVLLM("environment") as environ, FakeVLLM("option") as option:
        (folder / ".env").write_text(f"API_URL={file.url}\nAPI_KEY={SECRET}\nMODEL_NAME=fake\n")
        assert tframex("run", "x").stdout == "file\n"
        assert file.completions()[0].headers["authorization"] == f"Bearer {SECRET}"
        assert tframex("run", "x", API_URL=environ.url).stdout == "environment\n"
        assert tframex("run", "x", "--api-url", option.url, API_URL=environ.url).stdout == "option\n"


def test_without_an_endpoint_every_command_that_needs_one_says_how_to_name_it() -> None:
    for words in (["run", "x"], ["vote", "x"], ["models"], ["doctor"], ["batch", "in", "out"], ["multi", "x", "2"]):
        done = tframex(*words)
        assert done.exit_code == 2, words
        assert "give --api-url URL, or set API_URL" in done.stderr
        assert "--local" in done.stderr


def test_a_model_need_not_be_named_where_only_one_is_served(server: FakeVLLM) -> None:
    tframex("run", "x", API_URL=server.url)
    assert asked(server)["model"] == "Qwen/Qwen3-8B"
    assert json.loads(tframex("models", "--json", API_URL=server.url).stdout) == {
        "models": [{"owner": "vllm", "window": 8192, "name": "Qwen/Qwen3-8B"}]
    }
    assert tframex("models", API_URL=server.url).stdout == "Qwen/Qwen3-8B  window 8192\n"
    listed = b'{"object":"list","data":[{"id":"a"},{"id":"b"}]}'
    with FakeVLLM(lookups={"/v1/models": Fault.answer(listed)}) as two:
        done = tframex("run", "x", API_URL=two.url)
        assert done.exit_code == 2
        assert "serves 2 models (a, b)" in done.stderr


@pytest.mark.parametrize("words", [["run", "x"], ["chain", "text", "x"], ["tokens", "text"], ["models"], ["doctor"]])
@pytest.mark.parametrize("json_too", [False, True])
def test_a_key_is_never_shown(folder: Path, words: list[str], json_too: bool) -> None:
    (folder / "text").write_text("A text.")
    with FakeVLLM(api_key="another") as server:
        done = tframex(*words, *["--json"] * json_too, "--api-url", server.url, "--api-key", SECRET)
    assert done.exit_code == 1
    assert SECRET not in done.output
    if json_too and words != ["doctor"]:
        assert json.loads(done.stdout)["error"]["type"] == "AuthenticationError"


def test_a_context_is_a_file_or_standard_input(server: FakeVLLM, folder: Path) -> None:
    (folder / "timetable").write_text("The ferry leaves at 22:40.", encoding="utf-8")
    assert tframex("context", "timetable", "When?", API_URL=server.url).stdout == f"{TEXT}\n"
    assert "22:40" in str(asked(server)["messages"])
    tframex("context", "-", "When?", stdin="The bus leaves at seven.", API_URL=server.url)
    assert "at seven" in str(asked(server)["messages"])


def test_an_answer_can_go_to_a_file(server: FakeVLLM, folder: Path) -> None:
    done = tframex("run", "x", "-O", "new/answer.txt", API_URL=server.url)
    assert done.stdout == "new/answer.txt\n"
    assert (folder / "new" / "answer.txt").read_text() == TEXT


def test_every_option_of_every_command_says_what_it_is_for() -> None:
    """Where the annotation of an option is lost, its short name and its help are lost with it."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, found in group.commands.items():
        for option in found.params:
            assert getattr(option, "help", None), f"{name} {option.name}"


def test_a_thought_that_comes_apart_is_not_in_the_answer() -> None:
    with FakeVLLM(Answer("Blue.", reasoning="The sky?")) as server:
        assert tframex("run", "x", API_URL=server.url).stdout == "Blue.\n"
        found = json.loads(tframex("run", "x", "--json", API_URL=server.url).stdout)
        assert found["reasoning"] == "The sky?"
        assert "The sky?" not in found["text"]


def test_a_chain_reads_a_long_text_and_leaves_nothing_behind(server: FakeVLLM, folder: Path) -> None:
    (folder / "long").write_text("All work and no play. " * 400)
    done = tframex("chain", "long", "What?", "--chunk-size", "300", API_URL=server.url)
    assert (done.exit_code, done.stdout) == (0, f"{TEXT}\n")
    assert "chunk 1 of" in done.stderr
    assert not (folder / ".tframex").exists()
    found = json.loads(
        tframex("chain", "-", "What?", "--map-reduce", "--json", stdin="x " * 9000, API_URL=server.url).stdout
    )
    assert found["text"] == TEXT
    assert len(found["steps"]) > 1


def test_a_chain_is_called_cut_off_only_where_its_answer_was(server: FakeVLLM, folder: Path) -> None:
    """With `max_completion_tokens`, too, which takes precedence over the default of `max_tokens`."""
    (folder / "short").write_text("A text.")
    words = ["chain", "short", "What?", "-o"]
    done = tframex(*words, "max_completion_tokens=2000", API_URL=server.url, MAX_TOKENS="2")
    assert (done.exit_code, done.stdout) == (0, f"{TEXT}\n")
    assert "cut off" not in done.stderr
    cut = tframex(*words, "max_completion_tokens=2", API_URL=server.url)
    assert "cut off" in cut.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--max-tokens", "2"], "raise --max-tokens."),
        (["-o", "max_completion_tokens=2"], "raise -o max_completion_tokens."),
        (["--max-tokens", "500", "-o", "max_completion_tokens=2"], "raise -o max_completion_tokens."),
        (["--max-tokens", "2", "-o", "max_completion_tokens=null"], "raise --max-tokens."),
        (["--max-tokens", "500", "-o", "max_tokens=2"], "raise -o max_tokens."),
    ],
)
def test_what_is_to_be_raised_is_the_option_that_set_the_limit(
    server: FakeVLLM, folder: Path, words: list[str], named: str
) -> None:
    (folder / "short").write_text("A text.")
    for command in (["run", "x"], ["chain", "short", "What?"], ["multi", "x", "1", "--force"]):
        done = tframex(*command, *words, API_URL=server.url)
        assert named in done.stderr, (command, done.stderr)


def test_a_chain_that_fails_goes_on_with_the_same_command(folder: Path) -> None:
    (folder / "long").write_text("All work and no play. " * 400)
    words = ["chain", "long", "What?", "--chunk-size", "300"]
    with FakeVLLM(TEXT) as complete:
        tframex(*words, API_URL=complete.url)
    with FakeVLLM(TEXT, faults=[None, None, Fault.answer(b'{"error":"no"}', status=400)]) as server:
        done = tframex(*words, API_URL=server.url)
        assert done.exit_code == 1
        assert "2 steps are kept. The same command continues where this one stopped." in done.stderr
        assert len(list((folder / ".tframex").iterdir())) >= 1
        assert tframex(*words, API_URL=server.url).stdout == f"{TEXT}\n"
        assert len(server.completions()) == len(complete.completions()) + 1
    assert not (folder / ".tframex").exists()


def test_many_calls_go_into_files(folder: Path) -> None:
    bad = Fault.answer(b'{"error":"no"}', status=400)
    with FakeVLLM(TEXT, faults=[None, bad]) as server:
        done = tframex("multi", "x", "3", "--output-dir", "out", "--max-concurrency", "1", API_URL=server.url)
        assert done.exit_code == 3
        assert done.stdout.split() == [str(Path("out/output_1.txt")), str(Path("out/output_3.txt"))]
        assert "call_2: " in done.stderr
        assert (folder / "out" / "output_3.txt").read_text() == TEXT
        found = json.loads(tframex("multi", "x", "2", "--base-name", "b", "--json", API_URL=server.url).stdout)
        assert found["calls"]["call_2"]["text"] == TEXT


def test_a_vote_shows_the_answer_and_how_it_came_about(server: FakeVLLM) -> None:
    done = tframex("vote", "x", "-n", "5", API_URL=server.url)
    assert done.stdout == "red, green and blue\n"
    assert "confidence" in done.stderr
    found = json.loads(tframex("vote", "x", "-n", "5", "--json", API_URL=server.url).stdout)
    assert found["answer"] == "red, green and blue"
    assert found["calls"] <= 5


def test_a_batch_is_answered_line_by_line(server: FakeVLLM, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n{"prompt": 5}\n"c"\n')
    done = tframex("batch", "in.jsonl", "out.jsonl", API_URL=server.url)
    assert (done.exit_code, done.stdout) == (3, "out.jsonl\n")
    assert "3 lines answered, 1 with an error" in done.stderr
    assert [json.loads(line)["text"] for line in (folder / "out.jsonl").read_text().splitlines()] == [TEXT, None, TEXT]
    (folder / "in.jsonl").write_text('"a"\n{"prompt": 5}\n"c"\n"d"\n')
    more = tframex("batch", "in.jsonl", "out.jsonl", "--json", API_URL=server.url)
    again = json.loads(more.stdout)
    # The line that is wrong in itself still is, and the command says so as long as it is there.
    assert (more.exit_code, again["lines"], again["earlier"], again["failed"]) == (3, 4, 3, 1)


def test_tokens_are_counted_by_the_endpoint_if_there_is_one(server: FakeVLLM, folder: Path) -> None:
    (folder / "text").write_text("It is 12345.")
    alone = tframex("tokens", "text")
    assert alone.stdout == "6\n"
    assert "cl100k" in alone.stderr
    found = json.loads(tframex("tokens", "text", "--json", API_URL=server.url).stdout)
    assert found == {"tokens": 8, "exact": True, "context_window": 8192, "characters": 12}
    with FakeVLLM(dialect="openai") as other:
        estimated = tframex("tokens", "text", API_URL=other.url)
        assert "estimated" in estimated.stderr


def test_chunks_cover_the_text(folder: Path) -> None:
    text = "One sentence after the other. " * 100
    (folder / "text").write_text(text)
    done = tframex("chunks", "text", "--chunk-size", "100")
    assert "full on average" in done.stderr
    found = json.loads(tframex("chunks", "-", "--chunk-size", "100", "--json", stdin=text).stdout)
    assert "".join(chunk["text"] for chunk in found["chunks"]) == text
    assert len(done.stdout.splitlines()) == len(found["chunks"])


def test_what_cannot_be_read_is_an_error_with_a_name(server: FakeVLLM, folder: Path) -> None:
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    for words, code, said in (
        (["chain", "missing", "x"], 1, "cannot read missing"),
        (["chain", "binary", "x"], 2, "is not UTF-8 text"),
        (["run", "x", "-o", "nonsense"], 2, "--option takes NAME=VALUE"),
        (["run", ""], 2, "prompt must be a non-empty string"),
        (["run", "x", "--api-url", "nonsense"], 2, "is not an http(s) URL"),
        (["run"], 2, "Missing argument"),
    ):
        done = tframex(*words, API_URL=server.url)
        assert done.exit_code == code, words
        assert said in done.stderr


def test_a_key_goes_only_where_it_belongs(folder: Path, server: FakeVLLM) -> None:
    """A folder may belong to someone else: what its `.env` names gets no key of the environment."""
    (folder / ".env").write_text(f"API_URL={server.url}\n")
    for variable in ("API_KEY", "OPENAI_API_KEY"):
        assert tframex("run", "x", **{variable: SECRET}).exit_code == 0
    (folder / ".env").write_text("")
    tframex("run", "x", API_URL=server.url, OPENAI_API_KEY=SECRET)
    tframex("run", "x", "--api-url", server.url, OPENAI_API_KEY=SECRET)
    assert SECRET not in str([record.headers for record in server.requests])
    for given in (
        {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": SECRET},
        {"API_URL": server.url, "API_KEY": SECRET},
    ):
        tframex("run", "x", **given)
        assert server.completions()[-1].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "url", ["admin:hunter2pw@host:8000/v1", "http://admin:hun/ter2pw@host/v1", "http://a:hunter2pw@h/#x"]
)
def test_a_password_in_a_url_is_never_shown(url: str) -> None:
    for words in (["run", "x"], ["doctor"], ["models", "--json"]):
        done = tframex(*words, "--api-url", url)
        assert done.exit_code == 2
        assert "ter2pw" not in done.output


def test_an_option_of_the_command_itself_is_refused(server: FakeVLLM) -> None:
    for name in ("prompt", "n", "progress", "self", "extra_body"):
        done = tframex("run", "x", "-o", f"{name}=1", API_URL=server.url)
        assert (done.exit_code, f"{name} cannot be given" in done.stderr) == (2, True)


def test_answers_that_are_there_are_not_replaced(server: FakeVLLM, folder: Path) -> None:
    (folder / "output_2.txt").write_text("precious")
    words = ["multi", "x", "2", "--output-dir", "."]
    assert "is there already" in tframex(*words, API_URL=server.url).stderr
    assert (folder / "output_2.txt").read_text() == "precious"
    assert tframex(*words, "--force", API_URL=server.url).exit_code == 0
    assert (folder / "output_2.txt").read_text() == TEXT


def test_a_file_of_settings_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes("API_URL=http://x\n".encode("utf-16"))
    done = tframex("run", "x")
    assert done.exit_code == 2
    assert "the file .env cannot be read" in done.stderr


def test_a_chain_that_can_write_no_checkpoint_works_all_the_same(server: FakeVLLM, folder: Path) -> None:
    (folder / ".tframex").write_text("a file")
    (folder / "long").write_text("All work and no play. " * 400)
    done = tframex("chain", "long", "What?", API_URL=server.url)
    assert (done.exit_code, done.stdout) == (0, f"{TEXT}\n")
    assert "no checkpoint can be written" in done.stderr


def test_versions_are_shown_for_a_report() -> None:
    from tframex import __version__

    assert tframex("--version").stdout == f"{__version__}\n"
    assert tframex("version").stdout.startswith(f"tframex {__version__}\n")
    assert json.loads(tframex("version", "--json").stdout)["openai"].startswith("3.")


# -- as a process ----------------------------------------------------------------------------------------------------------


def process(
    *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **environ: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tframex", *words],
        stdout=stdout,
        stderr=stderr,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k not in CLEAN}, "PYTHONPATH": str(ROOT), **environ},
    )


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Processes that are started do not inherit an ignored interrupt, as a background job of a script has it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_leaves_no_half_written_file_and_says_how_to_continue(folder: Path) -> None:
    (folder / "long").write_text("All work and no play. " * 400)
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    for words, left, hint in (
        (["run", "x", "-O", "answer"], "answer.partial", "What had arrived is in answer.partial."),
        (
            ["chain", "long", "x", "--chunk-size", "300"],
            ".tframex",
            "The same command continues where this one stopped.",
        ),
        (["batch", "in.jsonl", "out.jsonl"], "out.jsonl", "The same command continues where this one stopped."),
    ):
        with FakeVLLM(TEXT, delay=0.2) as server:
            running = process(*words, API_URL=server.url)
            until(
                lambda server=server: len(server.completions()) > 1 or any(r.tokens > 2 for r in server.completions())
            )
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
            assert running.returncode == 130, (out, err)
            assert "Interrupted. " in err
            assert hint in err
            assert "Traceback" not in err
            assert (folder / left).exists()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at a process's title in /proc")
def test_a_key_given_as_an_option_is_not_in_the_title_of_the_process() -> None:
    for option in (["--api-key", SECRET], [f"--api-key={SECRET}"]):
        with FakeVLLM(TEXT, delay=0.2) as server:
            running = process("run", "x", *option, "--api-url", server.url)
            until(server.completions)
            title = Path(f"/proc/{running.pid}/cmdline").read_bytes()
            running.kill()
            running.communicate()
        assert SECRET.encode() not in title
        assert b"--api-key" in title


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["--help"],
        ["run", "--help"],
        ["version"],
        ["version", "--json"],
        ["run", "x"],
        ["run", "x", "--json"],
        ["models"],
        ["tokens", "text"],
        ["chunks", "text", "--json"],
        ["chain", "text", "What?"],
        ["vote", "x", "-n", "1"],
        ["multi", "x", "1", "--output-dir", "out"],
        ["batch", "in.jsonl", "out.jsonl"],
        ["doctor", "--json"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_output_without_a_reader_ends_a_command_quietly(server: FakeVLLM, folder: Path, words: list[str]) -> None:
    (folder / "text").write_text("A text.")
    (folder / "in.jsonl").write_text('"a"\n')
    reader, writer = os.pipe()
    os.close(reader)
    running = process(*words, stdout=writer, API_URL=server.url)
    os.close(writer)
    err = running.communicate(timeout=60)[1]
    assert running.returncode == 141, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert "rror" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Windows cannot close the output of a command")
def test_a_command_without_any_output_has_nowhere_to_write_and_works(server: FakeVLLM, folder: Path) -> None:
    command = f'"{sys.executable}" -m tframex run x -q -O answer >&- 2>&- <&-'
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "API_URL": server.url}
    assert subprocess.run(command, shell=True, env=environ, check=False).returncode == 0  # noqa: S602 - it closes
    assert (folder / "answer").read_text() == TEXT


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal that a program can open")
@pytest.mark.parametrize(("environ", "shown"), [({}, "\x1b[2mThe sky?\x1b[0m"), ({"NO_COLOR": "1"}, "The sky?")])
def test_a_thought_is_dimmed_on_the_terminal_unless_no_colour_is_wanted(environ: dict[str, str], shown: str) -> None:
    import pty

    ours, theirs = pty.openpty()
    with FakeVLLM(Answer("Blue.", reasoning="The sky?")) as server:
        plain: Any = {"API_URL": server.url, "TERM": "xterm", "NO_COLOR": "", **environ}
        running = process("run", "x", stderr=theirs, **plain)
        assert running.communicate(timeout=60)[0] == "Blue.\n"
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    # The model's thought arrives in pieces.
    assert seen.replace("\x1b[0m\x1b[2m", "").startswith(f"{shown}\r\n\r\n")


def test_the_local_model_heeds_the_defaults_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_TOKENS", "7")
    monkeypatch.setenv("TEMPERATURE", "0.25")
    with EndpointOptions(local=True).open() as model:
        assert (model.default_max_tokens, model.default_temperature) == (7, 0.25)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with FakeVLLM("word " * 2000, delay=0.001) as server:
        running = process("run", "x", "-q", API_URL=server.url)
        assert running.stdout is not None
        assert running.stdout.read(5) == "word "
        running.stdout.close()
        assert running.wait(30) == 141
        assert running.stderr is not None
        assert "Traceback" not in running.stderr.read()
        running.stderr.close()


def test_help_does_not_wait_for_the_client() -> None:
    code = (
        "import sys; sys.argv = ['tframex', '--help']\n"
        "from tframex.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'openai', 'httpx2', 'rich.console', 'asyncio'} & set(sys.modules), 'slow'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("run", "context", "chain", "multi", "vote", "batch", "tokens", "chunks", "models", "local", "doctor"):
        assert f"\n  {name} " in done.stdout


def test_without_its_packages_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom tframex.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "tframex[cli]"' in done.stderr


def test_an_answer_in_an_encoding_that_lacks_its_characters_is_not_lost() -> None:
    with FakeVLLM("Tokyo is 東京.") as server:
        running = process("run", "x", "-q", API_URL=server.url, PYTHONIOENCODING="cp1252")
        assert running.communicate(timeout=60) == ("Tokyo is ??.\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "tframex", "version"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


# -- answers of a schema ---------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def schema(folder: Path) -> str:
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    return "schema.json"


@pytest.fixture
def namer() -> Iterator[FakeVLLM]:
    with FakeVLLM('Here:\n```json\n{"name": "Bern"}\n```', model="Qwen/Qwen3-8B") as fake:
        yield fake


def test_with_a_schema_the_answer_is_its_json(namer: FakeVLLM, schema: str) -> None:
    done = tframex("run", "A city?", "--schema", schema, API_URL=namer.url)
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"name": "Bern"})
    assert asked(namer)["response_format"]["json_schema"]["schema"] == SCHEMA
    found = json.loads(tframex("run", "A city?", "--schema", schema, "--json", API_URL=namer.url).stdout)
    assert found["output"] == {"name": "Bern"}
    tframex("run", "A city?", "--schema", schema, "-O", "out.json", API_URL=namer.url)
    assert json.loads(Path("out.json").read_text()) == {"name": "Bern"}


def test_every_command_that_asks_takes_a_schema(namer: FakeVLLM, schema: str) -> None:
    Path("text").write_text("Bern is a city. " * 50)
    for words in (["context", "text", "A city?"], ["chain", "text", "A city?"]):
        done = tframex(*words, "--schema", schema, API_URL=namer.url)
        assert (done.exit_code, json.loads(done.stdout)) == (0, {"name": "Bern"}), done.output
    found = json.loads(tframex("chain", "text", "A city?", "--schema", schema, "--json", API_URL=namer.url).stdout)
    assert found["output"] == {"name": "Bern"}
    done = tframex("vote", "A city?", "-n", "3", "--schema", schema, API_URL=namer.url)
    assert json.loads(done.stdout) == {"name": "Bern"}
    found = json.loads(tframex("vote", "A city?", "-n", "3", "--schema", schema, "--json", API_URL=namer.url).stdout)
    assert found["output"] == {"name": "Bern"}
    found = json.loads(tframex("multi", "A city?", "2", "--schema", schema, "--json", API_URL=namer.url).stdout)
    assert found["calls"]["call_1"]["output"] == {"name": "Bern"}
    Path("in.jsonl").write_text('"A city?"\n')
    done = tframex("batch", "in.jsonl", "out.jsonl", "--schema", schema, API_URL=namer.url)
    assert done.exit_code == 0
    assert json.loads(Path("out.jsonl").read_text())["output"] == {"name": "Bern"}


def test_an_answer_that_a_schema_does_not_describe_is_an_error(server: FakeVLLM, schema: str) -> None:
    done = tframex("run", "A city?", "--schema", schema, API_URL=server.url)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "is not one JSON value" in done.stderr


def test_a_file_that_is_no_schema_is_refused(server: FakeVLLM, folder: Path) -> None:
    for content, complaint in (
        ("{", "is not JSON"),
        ("[]", "must be a JSON schema"),
        ('{"type": "x"}', "has the type"),
    ):
        (folder / "wrong.json").write_text(content)
        done = tframex("run", "A city?", "--schema", "wrong.json", API_URL=server.url)
        assert done.exit_code == 2, done.output
        assert complaint in done.stderr
        assert "wrong.json" in done.stderr
    assert not server.completions()
