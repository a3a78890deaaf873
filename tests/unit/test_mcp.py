"""Tools of MCP servers, against a real one: a child process written with the official package."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.conftest import ROOT, Colour
from tests.unit.test_tool_agent import playing
from tframex import sync
from tframex.agents import ToolAgent
from tframex.completion import ToolCall
from tframex.errors import ConfigurationError, ToolError, ToolServerError, WrongLoopError
from tframex.events import Event, ToolProgress
from tframex.model import VLLMModel
from tframex.testing import Answer, FakeVLLM
from tframex.tools import MCPTools, ToolOutcome, Toolset, tool
from tframex.tools._mcp_address import split_command

SERVER = [sys.executable, str(ROOT / "tests" / "mcp_server.py")]
SECRET = "sk-very-secret-0123456789"


@contextmanager
def serving(token: str = "", port: int = 0) -> Iterator[str]:
    """The server over HTTP, in a process of its own."""
    environment = {**os.environ, "TOKEN": token, "PORT": str(port)}
    with subprocess.Popen([*SERVER, "http"], stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as found:
        yield found


async def ask(tools: Any, name: str, *, heard: list[Event] | None = None, **arguments: Any) -> ToolOutcome:
    (outcome,) = await tools.run(
        [ToolCall(0, "call_1", name, json.dumps(arguments))], emit=None if heard is None else heard.append
    )
    assert isinstance(outcome, ToolOutcome)
    return outcome


async def said(tools: Any, name: str, **arguments: Any) -> str:
    return (await ask(tools, name, **arguments)).content


# -- tools for an agent ------------------------------------------------------------------------------------------------


def test_an_agent_calls_the_tools_of_a_server(colour: Colour) -> None:
    """Of one that is started as a child process; it has ended when the tools are closed."""
    call = Answer(calls=[("its_echo", {"text": "hello", "context": "!"}), ("its_environment", {"name": "MINE"})])

    async def body() -> None:
        with FakeVLLM(playing([call, "Done."])) as fake:
            tools = MCPTools(SERVER, env={"MINE": "given"}, prefix="its_")
            opened = colour.make(tools)
            await opened.open()
            try:
                agent = colour.make(ToolAgent("clerk", VLLMModel("fake", fake.url, "k"), tools))
                assert await agent.run("Do it.") == "Done."
                pid = int(await said(opened, "its_whoami"))
                assert tools.instructions == "Ask it what you like."
            finally:
                await opened.close()
            sent = fake.completions()
        results = [message["content"] for message in sent[-1].body["messages"] if message["role"] == "tool"]
        assert results == ["hello!", "given"]
        assert "A name that this program uses" in json.dumps(sent[0].body["tools"])
        assert not psutil.pid_exists(pid)

    colour.run(body)


def test_tools_come_over_http_as_well(colour: Colour) -> None:
    """Behind a gateway that wants a key, in a header or in the URL."""

    async def body() -> None:
        with serving(SECRET) as url:
            for tools in (
                MCPTools(url, headers={"Authorization": f"Bearer {SECRET}"}),
                MCPTools(f"{url}?key={SECRET}"),
            ):
                opened = colour.make(tools)
                await opened.open()
                assert await said(opened, "echo", text="hello") == "hello"
                await opened.close()

    colour.run(body)


def test_with_and_async_with_open_and_close(url: str) -> None:
    with sync.MCPTools(url, only=["echo", "colours"]) as tools:
        assert (tools.names, len(tools), "echo" in tools) == (["echo", "colours"], 2, True)
        assert [one.name for one in tools] == tools.names
        outcome = tools.run([ToolCall(0, "c", "echo", '{"text": "hi"}')])
        assert outcome[0].content == "hi"
        with FakeVLLM(playing([Answer(calls=[("echo", {"text": "hi"})]), "Done."])) as fake:
            model = sync.VLLMModel("fake", fake.url, "k")
            assert sync.ToolAgent("clerk", model, tools).agent_id == "clerk"
            nested: Any = [tools]
            assert sync.ToolAgent("clerk", model, nested).run("Do it.") == "Done."
    with pytest.raises(ConfigurationError, match="is not open"):
        _ = tools.names

    async def main() -> list[str]:
        async with MCPTools(url, only=lambda name: name.startswith("c")) as found:
            return found.names

    assert anyio.run(main) == ["colours"]


def test_toolsets_may_be_among_the_tools_of_an_agent(url: str) -> None:
    """Beside functions, and with the tools that they have at the time."""

    @tool
    def own(text: str) -> str:
        """One of ours."""
        return text

    async def main() -> None:
        async with MCPTools(url, only=["echo"]) as first, MCPTools(url, only=["echo"], prefix="b_") as second:
            together = Toolset([own, first, second])
            assert sorted(together.names) == ["b_echo", "echo", "own"]
            assert await said(together, "b_echo", text="hi") == "hi"
            with pytest.raises(ConfigurationError, match="two tools have the name 'echo'"):
                Toolset([first, first])

    anyio.run(main)


# -- what a server returns ---------------------------------------------------------------------------------------------

RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "echo": ({"text": "hi"}, "hi"),
    "forecast": ({"city": "Bern"}, '{\n  "city": "Bern",\n  "degrees": 12\n}'),
    "colours": ({}, "red\ngreen\nblue"),
    "picture": ({}, "[A result of the type image (image/png), 8 bytes; it is not shown.]"),
    "files_read_all": ({}, "read"),
    "mixed": (
        {},
        "About Bern.\n[The resource map, file:///map.png (image/png): A map]\n[The resource file:///notes.txt "
        '(text/plain):]\nrainy\n[The resource file:///raw, 3 bytes; it is not shown.]\n{"degrees":12}',
    ),
    "slow": ({"steps": 2}, "done"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_server_returns_is_text_for_the_model(url: str, name: str) -> None:
    """Each result once, and what is no text described."""
    arguments, expected = RESULTS[name]

    async def main() -> None:
        async with MCPTools(url) as tools:
            outcome = await ask(tools, name, **arguments)
            assert (outcome.content, outcome.failed) == (expected, False)

    anyio.run(main)


def test_the_model_is_told_what_it_can_put_right(colour: Colour, url: str) -> None:
    """A failure of the tool, arguments that do not fit the server's schema, and an unknown tool."""

    async def body() -> None:
        tools = colour.make(MCPTools(url))
        await tools.open()
        found = [await ask(tools, "refuse", why="rain"), await ask(tools, "echo", txt="hi"), await ask(tools, "gone")]
        await tools.close()
        assert all(outcome.failed for outcome in found)
        assert "this does not work: rain" in found[0].content
        assert "'text' is a required property" in found[1].content
        assert "There is no tool 'gone'. The tools are: echo" in found[2].content

    colour.run(body)


def test_progress_is_an_event_and_extends_the_time(colour: Colour, url: str) -> None:
    async def body() -> None:
        heard: list[Event] = []
        # On trio, httpx2 leaves the generators of a response that is given up to the garbage collector, with warnings.
        tools = colour.make(MCPTools(SERVER if colour.name == "trio" else url, timeout=0.5))
        await tools.open()
        assert (await ask(tools, "slow", heard=heard, steps=3)).content == "done"
        silent = await ask(tools, "slow", steps=0)
        assert (await ask(tools, "echo", text="still there")).content == "still there"
        await tools.close()
        steps = [event.text for event in heard if isinstance(event, ToolProgress)]
        assert steps == ["step 1", "step 2", "step 3"]
        assert silent.failed
        assert "slow did not answer within 0.5 seconds" in silent.content
        assert "may still take effect" in silent.content

    colour.run(body)


def test_the_key_of_a_call_reaches_the_server(url: str) -> None:
    async def main() -> None:
        async with MCPTools(url) as tools:
            assert len(await said(tools, "key")) == 32

    anyio.run(main)


@pytest.mark.parametrize("stdio", [True, False], ids=["stdio", "http"])
def test_tools_that_a_server_adds_are_there(colour: Colour, stdio: bool) -> None:
    async def body() -> None:
        with serving() as url:
            tools = MCPTools(SERVER if stdio else url)
            opened = colour.make(tools)
            await opened.open()
            assert await said(opened, "grow") == "grown"
            # The news of it arrives beside the results.
            for _ in range(1000):
                if "late" in tools:
                    break
                await said(opened, "echo", text="?")
            assert await said(opened, "late") == "late"
            await opened.close()

    colour.run(body)


def test_settings_belong_to_tools_by_name(url: str) -> None:
    async def main() -> None:
        chosen = MCPTools(url, approve=["refuse"], on_uncertain={"echo": "retry"}, max_result_tokens=5)
        async with chosen as tools:
            refuse, echo = tools.get("refuse"), tools.get("echo")
            assert refuse is not None
            assert echo is not None
            assert (refuse.approve, refuse.on_uncertain, refuse.max_result_tokens) == (True, "ask", 5)
            assert (echo.approve, echo.on_uncertain) == (False, "retry")

    anyio.run(main)


def test_a_tool_with_a_wrong_schema_is_left_out(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning: it is no reason to do without the others."""

    async def main() -> None:
        async with MCPTools(url) as tools:
            assert "echo" in tools
            assert "broken" not in tools

    anyio.run(main)
    assert "tool='broken'" in caplog.text


# -- a server that ends ------------------------------------------------------------------------------------------------


def test_a_call_in_the_middle_of_which_the_server_ends_ends_the_run(colour: Colour, tmp_path: Path) -> None:
    """It may have taken effect, and is not sent again; the next call starts the server again."""

    async def body() -> None:
        tools = colour.make(MCPTools(SERVER))
        await tools.open()
        first = await said(tools, "whoami")
        with pytest.raises(ToolError, match="unknown whether the call has taken effect") as caught:
            await ask(tools, "die", counted=str(tmp_path / colour.name))
        assert isinstance(caught.value.__cause__, ToolServerError)
        assert "its last words: what a pity" in str(caught.value)
        assert await said(tools, "whoami") != first
        await tools.close()
        assert (tmp_path / colour.name).read_text() == "x"

    colour.run(body)


def test_a_call_that_may_be_repeated_is_sent_to_the_new_server(colour: Colour, tmp_path: Path) -> None:
    async def body() -> None:
        tools = colour.make(MCPTools(SERVER, on_uncertain={"die": "retry"}))
        await tools.open()
        assert await said(tools, "die", counted=str(tmp_path / colour.name)) == "call 2"
        await tools.close()

    colour.run(body)


def test_a_server_that_ends_again_is_given_up(colour: Colour, tmp_path: Path) -> None:
    """With an error that says so, and why."""

    async def body() -> None:
        tools = colour.make(MCPTools(SERVER, on_uncertain="retry", env={"DEATHS": "9"}))
        await tools.open()
        with pytest.raises(ToolError, match="what a pity"):
            await ask(tools, "die", counted=str(tmp_path / colour.name))
        with pytest.raises(ToolError, match="has ended again before it had answered a call, and is not started"):
            await ask(tools, "echo", text="hi")
        await tools.close()
        assert (tmp_path / colour.name).read_text() == "xx"

    colour.run(body)


def test_a_server_that_was_killed_between_calls_is_started_again(colour: Colour) -> None:
    async def body() -> None:
        tools = colour.make(MCPTools(SERVER, on_uncertain="retry"))
        await tools.open()
        for _ in range(2):
            pid = int(await said(tools, "whoami"))
            psutil.Process(pid).kill()
            assert int(await said(tools, "whoami")) != pid
        await tools.close()

    colour.run(body)


def test_a_server_over_http_that_was_restarted_is_found_again(colour: Colour) -> None:
    async def body() -> None:
        with serving() as url:
            port = int(url.split(":")[2].split("/")[0])
            # A connection that is kept open may lose the race against the end of its server.
            tools = colour.make(MCPTools(url, on_uncertain="retry"))
            await tools.open()
            assert await said(tools, "echo", text="hi") == "hi"
        with serving(port=port):
            assert await said(tools, "echo", text="hi again") == "hi again"
        with pytest.raises(ToolError, match="could not be reached again"):
            await ask(tools, "echo", text="?")
        await tools.close()

    colour.run(body)


def test_another_task_may_close_the_tools(url: str) -> None:
    """The official client's scopes may be left only by the task that entered them, which is one of ours."""

    async def main() -> None:
        for server in (url, SERVER):
            tools = MCPTools(server)
            async with anyio.create_task_group() as group:
                group.start_soon(tools.open)
            async with anyio.create_task_group() as group:
                group.start_soon(said, tools, "echo")
            async with anyio.create_task_group() as group:
                group.start_soon(tools.close)
            await tools.close()

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_block_ends_its_server(backend: str) -> None:
    async def main() -> int:
        with anyio.CancelScope() as scope:
            async with MCPTools(SERVER) as tools:
                pid = int(await said(tools, "whoami"))
                scope.cancel()
                await anyio.sleep_forever()
        return pid

    pid = anyio.run(main, backend=backend)
    assert not psutil.pid_exists(pid)


def test_tools_of_another_loop_are_refused(url: str) -> None:
    tools = MCPTools(url)

    async def first() -> None:
        await tools.open()

    async def second() -> None:
        with pytest.raises(ToolError, match="was opened on another event loop") as caught:
            await ask(tools, "echo", text="hi")
        assert isinstance(caught.value.__cause__, WrongLoopError)
        with pytest.raises(WrongLoopError):
            await tools.close()

    anyio.run(first)
    anyio.run(second)


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "settings", "message"),
    [
        ("", {}, "must be a URL, a command"),
        ([], {}, "must be a URL, a command"),
        (3, {}, "not int"),
        ("'half", {}, "cannot be read"),
        ("http://", {}, "has no host"),
        ("http://a:b:c/", {}, "cannot be read"),
        ("http://a/mcp", {"env": {"A": "b"}}, "env and cwd are for"),
        ("program", {"headers": {"A": "b"}}, "headers are for"),
        ("program", {"env": {"A": 1}}, "a mapping of texts"),
        ("program", {"only": "echo"}, "only must be a list"),
        ("program", {"timeout": 0}, "timeout must be"),
        ("program", {"on_uncertain": {"a": "maybe"}}, "on_uncertain must be"),
    ],
)
def test_wrong_arguments_are_refused(server: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MCPTools(server, **settings)


def test_names_that_are_not_there_or_meet_are_refused(url: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="has no tool ecco; its tools are: echo, "):
            await MCPTools(url, only=["ecco"]).open()
        with pytest.raises(ConfigurationError, match="would have the name"):
            await MCPTools(url, prefix="x" * 64).open()
        tools = MCPTools(url)
        async with tools:
            with pytest.raises(ConfigurationError, match="is open already"):
                await tools.open()

    anyio.run(main)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (["no-such-program-of-ours"], "could not be started"),
        ([sys.executable, "-c", "import sys; sys.exit('no luck today')"], "its last words: no luck today"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "it was not ready within 2 seconds"),
        ("http://127.0.0.1:9/mcp", "could not be reached"),
    ],
    ids=["missing", "exits", "silent", "refused"],
)
def test_a_server_that_does_not_start_is_an_error_that_says_why(colour: Colour, server: Any, message: str) -> None:
    async def body() -> None:
        tools = colour.make(MCPTools(server, start_timeout=2))
        with pytest.raises(ToolServerError, match=message):
            await tools.open()

    colour.run(body)


def test_a_wrong_key_is_named(colour: Colour) -> None:
    async def body() -> None:
        with serving(SECRET) as url:
            tools = colour.make(MCPTools(url, headers={"Authorization": "Bearer wrong"}))
            with pytest.raises(ToolServerError, match="status 401; are its headers right"):
                await tools.open()

    colour.run(body)


def test_secrets_are_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    """Those of the environment, of headers, of the URL and of the command's options."""
    caplog.set_level(logging.DEBUG)
    code = "import os, sys; sys.exit(' '.join(['I was given', os.environ['KEY'], *sys.argv[1:]]))"
    options = ["--api-key", f"{SECRET}1", f"--token={SECRET}2", f"postgres://me:{SECRET}3@host/db"]
    made = [
        MCPTools([sys.executable, "-c", code, *options], env={"KEY": SECRET}),
        MCPTools(f"http://me:{SECRET}@127.0.0.1:9/mcp?key={SECRET}4", headers={"X": f"Bearer {SECRET}5"}),
    ]

    async def main() -> None:
        for tools in made:
            with pytest.raises(ToolServerError) as caught:
                await tools.open()
            assert SECRET not in f"{tools!r} {caught.value} {caught.value.__cause__!r}"
        with serving(SECRET) as url:
            async with MCPTools(f"{url}?key={SECRET}") as tools:
                assert SECRET not in repr(tools)

    anyio.run(main)
    assert "I was given" not in caplog.text
    assert SECRET not in caplog.text


def test_without_the_official_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ConfigurationError, match=r'pip install "tframex\[mcp\]"'):
        anyio.run(MCPTools("program").open)


def test_the_official_package_is_imported_when_it_is_used() -> None:
    code = "import sys, tframex.sync, tframex.tools; print([name for name in sys.modules if name.startswith('mcp')])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).strip() == b"[]"


@pytest.mark.parametrize(
    ("command", "windows", "words"),
    [
        (
            r'"C:\Program Files\node\npx.cmd" -y "a b" C:\x',
            True,
            [r"C:\Program Files\node\npx.cmd", "-y", "a b", r"C:\x"],
        ),
        (r"'a b' c\ d", False, ["a b", "c d"]),
    ],
)
def test_a_command_is_split_as_its_system_does(command: str, windows: bool, words: list[str]) -> None:
    assert split_command(command, windows=windows) == words


class _Forgetful(BaseHTTPRequestHandler):
    """Forgets its first session when it is asked for `forget` in the middle of `pay`."""

    protocol_version = "HTTP/1.1"
    paid: list[str]
    paying: threading.Event

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, session = asked.get("method"), self.headers.get("Mcp-Session-Id", "")
        name = asked.get("params", {}).get("name")
        if "id" not in asked:
            self._answer(202)
        elif method == "initialize":
            made = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "f", "version": "1"},
            }
            self._answer(200, asked["id"], {"result": made}, session=os.urandom(4).hex())
        elif method == "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object", "properties": {}}} for name in ("pay", "forget")]
            self._answer(200, asked["id"], {"result": {"tools": tools}})
        elif name == "pay":
            self.paid.append(session)
            self.paying.set()
            if len(self.paid) == 1:
                # Until the client has gone.
                self.rfile.read(1)
                self.close_connection = True
            else:
                self._answer(200, asked["id"], {"result": {"content": []}})
        elif name == "forget":
            self.paying.wait(30)
            if session == self.paid[0]:
                self._answer(404)
            else:
                self._answer(200, asked["id"], {"result": {"content": []}})
        else:
            self._answer(200, asked["id"], {"error": {"code": -32601, "message": "Method not found"}})

    def do_GET(self) -> None:
        self._answer(405)

    def do_DELETE(self) -> None:
        self._answer(404)

    def _answer(self, status: int, id_: Any = None, what: Any = None, session: str = "") -> None:
        body = b"" if what is None else json.dumps({"jsonrpc": "2.0", "id": id_, **what}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if body:
            self.send_header("Content-Type", "application/json")
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_in_the_middle_of_which_a_session_is_forgotten_is_not_sent_again(backend: str) -> None:
    """Another call has found out that it is; this one has arrived, and may have taken effect."""
    handler: Any = type("Handler", (_Forgetful,), {"paid": [], "paying": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()

    async def main() -> None:
        async with MCPTools(f"http://127.0.0.1:{server.server_port}/mcp") as tools:
            calls = [ToolCall(0, "a", "pay", "{}"), ToolCall(1, "b", "forget", "{}")]
            with pytest.raises(ToolError, match="it is unknown whether the call has taken effect"):
                await tools.run(calls)
            assert (await ask(tools, "forget")).failed is False

    try:
        anyio.run(main, backend=backend)
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert len(handler.paid) == 1
