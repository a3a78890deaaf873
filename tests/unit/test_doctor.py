"""`tframex doctor`, on endpoints that have each fault."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from tests.scripted_server import certificate
from tframex.cli._app import app
from tframex.cli.doctor import Target, api, examination, load, network, served, stream, streaming
from tframex.cli.doctor.finding import Finding
from tframex.testing import Answer, FakeVLLM, Fault

COUNT = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen."
SECRET = "sk-not-for-anybody-else"
# For what is never answered.
BRIEFLY = ("--timeout", "1.5")


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Looks at idle connections for a moment only, and at no other Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "_LOOKED", 0.1)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "API_KEY"):
        monkeypatch.delenv(name, raising=False)
    if "installation" not in request.node.name:

        async def fine() -> Finding:
            return Finding("installation", "ok", "")

        monkeypatch.setattr(network, "installation", fine)


def able(said: str | Answer) -> Callable[[Mapping[str, Any]], str | Answer]:
    """A model that calls the tools that it is shown, and gives an answer the type that is asked for."""

    def answer(body: Mapping[str, Any]) -> str | Answer:
        asked = str(body["messages"])
        if "weather" in asked:
            return Answer(calls=[("weather", {"city": "Bern"})])
        return '{"value": 4}' if "legs" in asked else said

    return answer


def doctor(url: str, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by name."""
    done = CliRunner().invoke(app, ["doctor", "--json", "--timeout", "20", "--api-url", url, *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    found = json.loads(done.stdout)
    assert SECRET not in done.output
    assert found["usable"] == (done.exit_code == 0)
    return done.exit_code, {finding["check"]: finding for finding in found["checks"]}


def fault(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The one finding that is not ok."""
    bad = [finding for finding in found.values() if finding["status"] in ("failed", "warning")]
    assert len(bad) == 1, bad
    assert bad[0]["cause"]
    assert bad[0]["fix"]
    return bad[0]


def warning(answer: str | Answer, check: str, **settings: Any) -> dict[str, Any]:
    """What is found wrong with an endpoint that can be used all the same."""
    with FakeVLLM(able(answer), **settings) as server:
        code, found = doctor(server.url)
    assert code == 0
    bad = fault(found)
    assert (bad["check"], bad["status"]) == (check, "warning")
    return bad


def failure(check: str, url: str, *words: str) -> dict[str, Any]:
    """What makes an endpoint unusable."""
    code, found = doctor(url, *words)
    assert code == 1
    bad = fault(found)
    assert (bad["check"], bad["status"]) == (check, "failed")
    later = examination.CHECKS[examination.CHECKS.index(check) + 1 :]
    assert all(found[name]["status"] == "skipped" for name in later)
    return bad


# -- healthy ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
def test_a_healthy_endpoint_passes_every_check(dialect: Any) -> None:
    with FakeVLLM(able(COUNT), dialect=dialect, model="Qwen/Qwen3-8B", delay=0.002) as server:
        code, found = doctor(server.url)
    assert code == 0
    assert list(found) == list(examination.CHECKS)
    assert {finding["status"] for finding in found.values()} == {"ok"}, found
    assert found["context window"]["data"] == {"tokens": 8192}
    assert found["continuing"]["data"]["how"] == ("token_ids" if dialect == "vllm" else "continue_final_message")
    assert found["streaming"]["data"]["first_token"] > 0
    assert found["usage"]["data"]["completion_tokens"] > 10
    assert found["server"]["detail"] == ("vLLM 0.32.0" if dialect == "vllm" else "llama.cpp")


def test_a_person_sees_marks_causes_and_fixes() -> None:
    with FakeVLLM(COUNT, api_key="another") as server:
        done = CliRunner().invoke(app, ["doctor", "--api-url", server.url, "--api-key", SECRET])
        assert done.exit_code == 1
        assert "✓ connection" in done.stdout
        assert "✗ API" in done.stdout
        assert "cause: The key (option) is wrong" in done.stdout
        assert "fix: Check API_KEY" in done.stdout
        assert "not examined" in done.stdout
        assert "Not usable: API." in done.stdout
        quiet = CliRunner().invoke(app, ["doctor", "-q", "--api-url", server.url, "--api-key", SECRET])
        assert "connection" not in quiet.stdout
        assert "✗ API" in quiet.stdout


# -- what the seed's Troubleshooting names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [Fault.cut(2500), Fault.end(2500)], ids=["incomplete chunked read", "clean end"])
def test_a_connection_that_a_proxy_or_tunnel_cuts(broken: Fault) -> None:
    with FakeVLLM(COUNT, faults=[broken]) as server:
        bad = failure("streaming", server.url)
    assert "breaks off after" in bad["detail"]
    assert "Cloudflare: 100 s" in bad["cause"]
    assert "lower the concurrency" in bad["fix"]


@pytest.mark.parametrize("broken", [Fault.silence(), Fault.stall(0), Fault.comments(0)], ids=lambda fault: fault.kind)
def test_a_server_that_takes_the_request_and_sends_no_token(broken: Fault) -> None:
    metrics = Fault.answer(
        b'vllm:num_requests_waiting{engine="0",model_name="fake"} 7.0\n', content_type="text/plain; version=0.0.4"
    )
    with FakeVLLM(COUNT, faults=[broken], lookups={"/metrics": metrics}) as server:
        bad = failure("streaming", server.url, *BRIEFLY)
    assert "no token came within 1.5 s" in bad["detail"]
    assert "7 requests wait in its queue" in bad["cause"]
    assert "`Waiting`" in bad["fix"]


def test_an_answer_that_falls_silent_in_the_middle() -> None:
    with FakeVLLM(COUNT, faults=[Fault.stall(2500)]) as server:
        bad = failure("streaming", server.url, *BRIEFLY)
    assert "fell silent after" in bad["detail"]


def test_a_thought_whose_beginning_is_missing() -> None:
    bad = warning(f"I count them.\n</think>\n\n{COUNT}", "reasoning")
    assert "beginning is missing" in bad["cause"]
    assert "--reasoning-parser" in bad["fix"]


@pytest.mark.parametrize(
    ("answer", "where"),
    [(Answer(COUNT, reasoning="I count."), "'reasoning'"), (f"<think>I count.</think>{COUNT}", "inside the answer")],
)
def test_where_thoughts_are(answer: str | Answer, where: str) -> None:
    with FakeVLLM(answer) as server:
        found = doctor(server.url)[1]
    assert where in found["reasoning"]["detail"]
    assert found["reasoning"]["status"] == "ok"


def test_an_answer_that_goes_round_in_circles() -> None:
    bad = warning("the same again and again, " * 60, "repetition")
    assert "repetition_penalty" in bad["fix"]


def test_a_key_that_is_missing_or_refused() -> None:
    with FakeVLLM(COUNT, api_key="the right one") as server:
        assert "None is set." in failure("API", server.url)["cause"]
        assert "refuses the key (401" in failure("API", server.url, "--api-key", SECRET)["detail"]
    with FakeVLLM(COUNT, faults=[Fault.answer(b'{"error":"no credit"}', status=403)]) as server:
        bad = failure("streaming", server.url, "--api-key", SECRET)
        assert "no credit" in bad["detail"]


@pytest.mark.parametrize("given", ["qwen3-8b", "QWEN/Qwen3-8B", "Qwen/Qwen3-8B-FP8", "nonsense"])
def test_a_model_that_is_not_served(given: str) -> None:
    with FakeVLLM(COUNT, model="Qwen/Qwen3-8B") as server:
        bad = failure("model", server.url, "--model", given)
    assert bad["fix"] == "MODEL_NAME=Qwen/Qwen3-8B"
    assert "'Qwen/Qwen3-8B'" in bad["detail"]


def test_a_model_that_nobody_names_where_there_are_several() -> None:
    listed = b'{"object":"list","data":[{"id":"llama","owned_by":"vllm"},{"id":"qwen-small","owned_by":"vllm"},'
    listed += b'{"id":"qwen-large","owned_by":"vllm"}]}'
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.answer(listed)}) as server:
        assert "3 are served: llama, qwen-small, qwen-large" in failure("model", server.url)["detail"]
        assert failure("model", server.url, "--model", "qwen-larg")["fix"] == "MODEL_NAME=qwen-large"


def test_a_wrong_path_and_where_the_api_is() -> None:
    with FakeVLLM(COUNT) as server:
        base = server.url.removesuffix("/v1")
        assert failure("API", f"{base}/api/v2")["fix"] == f"API_URL={server.url}"
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.html()}) as server:
        assert "is a web page" in failure("API", server.url)["detail"]
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.answer(b'{"detail":"Not Found"}', status=404)}) as server:
        assert "not an OpenAI-compatible server" in failure("API", server.url)["cause"]


def test_an_installation_in_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ModuleNotFoundError: No module named 'tframex'`, seen from the environment that has it."""
    other = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    monkeypatch.setenv("PATH", str(other.parent if other.exists() else tmp_path / "Scripts"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    bad = warning(COUNT, "installation")
    assert "No module named 'tframex'" in bad["detail"]
    assert "-m pip install" in bad["fix"]


def test_a_dead_port_and_one_that_hangs_up() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refuses connections" in failure("connection", f"http://127.0.0.1:{port}")["detail"]
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.refuse()}) as server:
        assert "breaks off (ReadError" in failure("API", server.url)["detail"]


# -- everything else -------------------------------------------------------------------------------------------------------


def test_a_host_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*args: object, **keywords: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("anyio.getaddrinfo", unknown)
    bad = failure("name resolution", "http://vllm.invalid:8000")
    assert "vllm.invalid has no address" in bad["detail"]
    assert "misspelt" in bad["cause"]


def test_a_port_that_never_answers() -> None:
    """A full backlog is a firewall's silence without one."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(deaf.getsockname())
        assert "within 1.5 s" in failure("connection", f"http://127.0.0.1:{deaf.getsockname()[1]}", *BRIEFLY)["detail"]


def test_a_server_that_does_not_answer_at_all() -> None:
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.silence()}) as server:
        assert "no answer within 1.5 s" in failure("API", server.url, *BRIEFLY)["detail"]
    starting = Fault.answer(b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}', status=503)
    with FakeVLLM(COUNT, lookups={"/v1/models": starting}) as server:
        assert "503: Loading model" in failure("API", server.url)["detail"]


def test_https_spoken_to_http() -> None:
    with FakeVLLM(COUNT) as server:
        bad = failure("TLS", server.url.replace("http://", "https://"))
    assert bad["fix"].startswith(f"API_URL={server.url},")


@contextmanager
def encrypted(folder: Path) -> Iterator[str]:
    """A TLS server with a certificate that is not trusted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate(folder))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.settimeout(5)
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                accepted.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_certificate_that_nobody_trusts_and_http_spoken_to_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with encrypted(tmp_path) as where:
        bad = failure("TLS", f"https://{where}")
        assert "is not trusted (self" in bad["detail"]
        assert "SSL_CERT_FILE" in bad["fix"]
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        found = doctor(f"https://{where}")[1]
        assert found["TLS"]["status"] == "warning"
        assert "expires soon" in found["TLS"]["cause"]
        assert f"https://{where}" in failure("API", f"http://{where}")["fix"]


def test_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeVLLM(COUNT) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://user:secret-of-the-proxy@127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "")
        code, found = doctor(server.url)
        assert code == 1
        assert found["proxy"]["status"] == "warning"
        assert "127.0.0.1:9" in found["proxy"]["detail"]
        assert "secret-of-the-proxy" not in str(found)
        assert found["API"]["status"] == "failed"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert doctor(server.url)[1]["proxy"]["status"] == "ok"


def test_a_proxy_before_the_server() -> None:
    listed = b'{"object":"list","data":[{"id":"fake","owned_by":"vllm","max_model_len":8192}]}'
    headers = {"content-type": "application/json", "cf-ray": "8f2"}
    bad = warning(COUNT, "in between", lookups={"/v1/models": Fault("body", body=listed, headers=headers)})
    assert "Cloudflare" in bad["detail"]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(text: str, finish: str = "null") -> bytes:
    return f'data: {{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}\n\n'.encode()


def heard(answer: Callable[[socket.socket], None]) -> tuple[stream.Stream, Finding]:
    """What is received from a server with an unusual answer, and the finding."""
    with answering(answer) as target:
        found = anyio.run(stream.listen, target)
        return found, anyio.run(streaming.streaming, target, found)


def test_a_proxy_that_holds_the_answer_back() -> None:
    def collected(connection: socket.socket) -> None:
        time.sleep(0.7)
        connection.sendall(HEAD + event("x ") * 20 + event("end", '"stop"') + b"data: [DONE]\n\n")

    found, finding = heard(collected)
    assert found.complete
    assert finding.status == "warning"
    assert "all 21 pieces arrived together" in finding.detail
    assert "proxy_buffering off" in finding.fix


def test_a_body_that_stays_open_after_its_end_is_complete() -> None:
    def left_open(connection: socket.socket) -> None:
        connection.sendall(HEAD + event("one two three", '"stop"') + b"data: [DONE]\n\n")
        connection.recv(1)  # until the client hangs up

    found, finding = heard(left_open)
    assert found.complete
    assert finding.status == "ok"


def test_a_web_page_of_many_lines_is_one_too() -> None:
    page = b"<!DOCTYPE html>\n<html>\n<body>Sign in</body>\n</html>\n"
    found, finding = heard(lambda connection: connection.sendall(HEAD + page))
    assert found.reply is not None
    assert found.reply.html
    assert "login page" in finding.cause


def test_an_endpoint_that_tells_little_of_itself() -> None:
    listed = b'{"object":"list","data":[{"id":"fake"}]}'
    with FakeVLLM(COUNT, dialect="openai", lookups={"/v1/models": Fault.answer(listed)}) as server:
        code, found = doctor(server.url)
    assert code == 0
    for check, said in {
        "context window": "does not say how large",
        "tokenizer": "does not count",
        "continuing": "not possible here",
    }.items():
        assert found[check]["status"] == "warning"
        assert said in found[check]["detail"]
    assert found["server"]["data"] == {"kind": "unknown"}


def test_a_small_window() -> None:
    assert "512 tokens" in warning(COUNT, "context window", context_window=512)["detail"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Fault.busy(429), "lower the concurrency"),
        (Fault.busy(503), "lower the concurrency"),
        (Fault.html(), "any proxy before it"),
        (Fault.answer(b'{"choices":[{"message":{"content":"One"}}]}'), "supports stream=true"),
        (Fault.answer(b'{"error":"no such thing"}', status=404), "ends in /v1"),
        (Fault.answer(b'{"error":"not a chat model"}', status=400), "it is a chat model"),
    ],
)
def test_a_chat_request_that_is_refused(answer: Fault, said: str) -> None:
    with FakeVLLM(COUNT, faults=[answer]) as server:
        assert said in failure("streaming", server.url)["fix"]


def test_an_error_in_the_middle_and_an_event_that_is_nonsense() -> None:
    with FakeVLLM(COUNT, faults=[Fault.error(1500)]) as server:
        assert "EngineCore" in failure("streaming", server.url)["detail"]
    with FakeVLLM(COUNT, faults=[Fault.garbage(1500)]) as server:
        assert "not understood" in failure("streaming", server.url)["detail"]


def test_a_server_that_takes_few_requests_at_once() -> None:
    bad = warning(COUNT, "concurrency", faults=[None, *[Fault.busy(429)] * 3])
    assert "of 8 concurrent requests 3 refused (429)" in bad["detail"]
    assert "max_concurrency" in bad["fix"]


def test_a_server_that_closes_idle_connections_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_LOOKED", 5.0)
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as target:
        found = anyio.run(load.idle_connections, target)
    assert found.status == "warning"
    assert "must be sent again" in found.cause


def test_the_queue_is_read_from_the_metrics() -> None:
    text = (
        "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
        'vllm:num_requests_waiting{engine="0",model_name="a"} 3.0\n'
        'vllm:num_requests_waiting{engine="1",model_name="a"} 4.0\n'
        'vllm:num_requests_waiting_by_reason{reason="x"} 9.0\n'
    )
    assert served.waiting(text) == 7
    assert served.waiting("process_open_fds 5") is None


# -- tools and typed answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "way", "refused"),
    [
        ({}, "native", []),
        ({"parses_tools": False}, "tags", ["native"]),
        ({"dialect": "llama.cpp"}, "action", []),
    ],
)
def test_the_way_in_which_an_endpoint_takes_tools_is_named(
    settings: dict[str, Any], way: str, refused: list[str]
) -> None:
    with FakeVLLM(able(COUNT), **settings) as server:
        code, found = doctor(server.url)
    assert code == 0
    assert found["tools"]["status"] == "ok"
    assert found["tools"]["data"] == {"way": way, "refused": refused}
    assert found["tools"]["detail"].startswith(f"{way!r}: ")
    assert ("'native' refused" in found["tools"]["detail"]) == bool(refused)
    assert found["typed answers"]["data"] == {"way": "response_format", "refused": []}


def refusing(*names: str, word: str = "tools") -> Callable[[Mapping[str, Any]], Fault | None]:
    """A server that takes none of these options."""

    def refuse(body: Mapping[str, Any]) -> Fault | None:
        name = next((name for name in names if name in body), None)
        said = {"error": {"message": f"{name} is not allowed here (no {word})", "param": name}}
        return None if name is None else Fault.answer(json.dumps(said).encode(), status=400)

    return refuse


def test_a_server_without_any_grammar_is_a_warning_that_says_what_to_do() -> None:
    gone = refusing("tools", "structured_outputs", "response_format")
    with FakeVLLM(able(COUNT), faults=gone) as server:
        code, found = doctor(server.url)
    assert code == 0
    tools, typed = found["tools"], found["typed answers"]
    assert (tools["status"], tools["data"]["way"]) == ("warning", "text")
    assert "--enable-auto-tool-choice" in tools["fix"]
    assert (typed["status"], typed["data"]["way"]) == ("warning", "prompt")
    assert typed["data"]["refused"] == ["response_format", "structured_outputs"]


def test_a_server_that_refuses_the_schema_of_the_tool_is_a_warning() -> None:
    def strict(body: Mapping[str, Any]) -> Fault | None:
        if not any(found["function"].get("strict") for found in body.get("tools") or ()):
            return None
        return Fault.answer(b'{"error":{"message":"Grammar error: Unimplemented keys in the schema"}}', status=400)

    with FakeVLLM(able(COUNT), faults=strict) as server:
        code, found = doctor(server.url)
    assert code == 0
    assert (found["tools"]["status"], found["tools"]["data"]["way"]) == ("warning", "native")
    assert "it has refused that grammar" in found["tools"]["detail"]


def test_a_model_that_makes_no_call_and_answers_with_no_value_is_a_warning() -> None:
    with FakeVLLM(COUNT) as server:
        code, found = doctor(server.url)
    assert code == 0
    assert found["tools"]["status"] == found["typed answers"]["status"] == "warning"
    assert "no call came, although one was required" in found["tools"]["detail"]
    assert "the answer was none" in found["typed answers"]["detail"]


def test_an_endpoint_that_fails_at_requests_with_tools_can_be_used() -> None:
    def failing(body: Mapping[str, Any]) -> Fault | None:
        return Fault.busy(503) if "tools" in body or "response_format" in body else None

    with FakeVLLM(able(COUNT), faults=failing) as server:
        code, found = doctor(server.url, "--api-key", SECRET)
    assert code == 0
    for name in ("tools", "typed answers"):
        assert found[name]["status"] == "warning"
        assert "not seen: the request failed" in found[name]["detail"]


# -- endpoints that are odd ------------------------------------------------------------------------------------------------


def test_a_model_under_a_name_that_is_not_on_the_list() -> None:
    """Others than vLLM may serve it all the same, so the chat request decides."""
    listed = Fault.answer(b'{"data":[{"id":"other:latest","owned_by":"library"}]}')
    with FakeVLLM(COUNT, model="other", lookups={"/v1/models": listed}) as server:
        code, found = doctor(server.url, "--model", "other")
        assert (code, found["model"]["status"]) == (0, "warning")
        code, found = doctor(server.url, "--model", "oter")
        assert (code, found["streaming"]["status"]) == (1, "failed")
        assert found["streaming"]["fix"] == "MODEL_NAME=other:latest"


def test_an_endpoint_without_a_list_of_models() -> None:
    missing = {"/v1/models": Fault.answer(b'{"detail":"Not Found"}', status=404)}
    with FakeVLLM(COUNT, dialect="openai", lookups=missing) as server:
        code, found = doctor(server.url, "--model", "fake")
    assert code == 0
    assert [found[name]["status"] for name in ("API", "model", "streaming")] == ["warning", "warning", "ok"]


@pytest.mark.parametrize("body", [b'{"data": 5}', b'{"data": null}', b"{}", b'{"data": [7, "x"]}'])
def test_a_list_of_models_that_is_none(body: bytes) -> None:
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.answer(body)}) as server:
        assert "0 are served" in failure("model", server.url)["detail"]
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.answer(b"[]")}) as server:
        assert "not an OpenAI-compatible API" in failure("API", server.url)["cause"]


def test_a_redirect_names_where_to_go() -> None:
    headers = {"location": "https://elsewhere.example/api/v1/models"}
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault("body", status=308, headers=headers)}) as server:
        assert failure("API", server.url)["fix"] == "API_URL=https://elsewhere.example/api/v1"


def test_an_endpoint_that_refuses_an_option_is_asked_without_it() -> None:
    def refuse(body: Mapping[str, Any]) -> Fault | None:
        if "max_tokens" in body:
            return Fault.answer(b'{"error":{"message":"Unsupported parameter: max_tokens"}}', status=400)
        return None

    with FakeVLLM(COUNT, faults=refuse) as server:
        code, found = doctor(server.url)
    assert code == 0
    assert found["streaming"]["data"] == {"refused": ["max_tokens"]}
    assert "max_completion_tokens" in found["streaming"]["fix"]


def test_an_answer_that_never_ends_is_not_listened_to_for_ever() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b'data: {"choices":[{"delta":{"content":"x "}}]}\n\n')

    found, finding = heard(endless)
    assert found.endless
    assert finding.status == "warning"


def test_a_body_that_comes_byte_by_byte_has_one_time_limit() -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)

    with answering(slow) as target:
        found, reply = anyio.run(api.api, target)
    assert reply is None
    assert "no answer within 1.5 s" in found.detail


def test_a_key_that_a_server_echoes_is_taken_out_before_anything_is_cut() -> None:
    with FakeVLLM(COUNT, lookups={"/v1/models": Fault.answer(b"x" * 190 + SECRET.encode(), status=401)}) as server:
        bad = failure("API", server.url, "--api-key", SECRET)
    assert "sk-not" not in str(bad)
    assert "xxx***" in bad["detail"]


def test_a_check_that_fails_itself_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(target: object) -> Finding:
        raise RuntimeError("out of order")

    monkeypatch.setattr(load, "idle_connections", broken)
    with FakeVLLM(COUNT) as server:
        assert "RuntimeError: out of order" in failure("idle connections", server.url)["detail"]


@pytest.mark.parametrize(
    ("proxy", "place"),
    [
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("http://user:pa/ss#word@127.0.0.1:3128", "127.0.0.1:3128"),
        ("http://", "a proxy"),
    ],
)
def test_a_proxy_is_named_without_its_password(proxy: str, place: str) -> None:
    assert network._place(proxy) == place


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A server that answers its one request in an unusual way."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(65536)
            answer(accepted)
            with suppress(OSError):
                # Closed with something unread, the connection would be reset, and the answer lost.
                accepted.shutdown(socket.SHUT_WR)
                while accepted.recv(65536):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Target(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", None, "fake", seconds=1.5)
    finally:
        thread.join()
        listener.close()


def test_of_several_kinds_of_servers_on_a_list_the_first_does_not_count() -> None:
    """A gateway lists a model of a vLLM first; the one asked for is served by another server."""
    listed = Fault.answer(b'{"data":[{"id":"llama","owned_by":"vllm"},{"id":"gpt","owned_by":"openai"}]}')
    with FakeVLLM(COUNT, dialect="openai", lookups={"/v1/models": listed}) as server:
        code, found = doctor(server.url, "--model", "fake")
    assert (code, found["model"]["status"]) == (0, "warning")
    assert found["server"]["data"] == {"kind": "unknown"}
