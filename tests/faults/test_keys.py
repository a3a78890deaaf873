"""No key is shown, whatever goes wrong: not by an error, by what caused it, by a log, or a report with local variables."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import anyio
import openai
import pytest

import tframex
from tests.conftest import USER, Colour
from tframex import sync
from tframex._types import Messages
from tframex.agents import BaseAgent, BasicAgent, ContextAgent
from tframex.errors import ConfigurationError, ModelError
from tframex.model import BaseModel, VLLMModel
from tframex.systems import BaseSystem, ChainOfAgents, MapReduceSystem, MultiCallSystem, Samples
from tframex.testing import FakeVLLM, Fault

pytestmark = pytest.mark.usefixtures("no_wait")

TEXT = "1. Red: “naïve” 静か. \U0001f469\U0001f3fd‍\U0001f680\n\nTwo  spaces\tand an end."
MIDDLE = 2000


class Key:
    """A planted key; its `repr` does not show it, so that what a report shows of the tests' own frames is no hit."""

    value = "sk-planted-0123456789"

    def __repr__(self) -> str:
        return "Key()"


KEY = Key()
PACKAGE = Path(tframex.__file__).parent


def error(status: int) -> bytes:
    said = {"message": f"Incorrect API key provided: {KEY.value}", "type": "echo", "code": status, "key": [KEY.value]}
    return json.dumps({"error": said}).encode()


FAULTS: dict[str, list[Fault]] = {
    "refused": [Fault.refuse()] * 9,
    "cut": [Fault.cut(MIDDLE)] + [Fault.cut(10)] * 9,
    "end": [Fault.end(MIDDLE)] + [Fault.end(10)] * 9,
    "stall": [Fault.stall(MIDDLE)] * 9,
    "silence": [Fault.silence()] * 9,
    "comments": [Fault.comments(MIDDLE)] * 9,
    "busy": [Fault.busy(503)] * 9,
    "a web page that echoes it": [Fault.answer(f"<html>{KEY.value}</html>".encode(), content_type="text/html")] * 9,
    "a 200 with an error that echoes it": [Fault.answer(error(401))] * 9,
    "JSON that echoes it": [Fault.answer(json.dumps({"echo": KEY.value}).encode())] * 9,
    "text that echoes it": [Fault.answer(f"no {KEY.value}".encode(), content_type="text/plain")] * 9,
    "garbage that echoes it": [Fault.garbage(0, f"data: {{{KEY.value}\n\n".encode())] * 9,
    "garbage in the middle": [Fault.garbage(MIDDLE, f"data: {{{KEY.value}\n\n".encode())] * 9,
    "an error event at first": [Fault("error", 0, body=error(503))] * 9,
    "an error event in the middle": [Fault("error", MIDDLE, body=error(401))] * 9,
    "400": [Fault.answer(error(400), status=400)] * 9,
    "401": [Fault.answer(error(401), status=401)] * 9,
    "404": [Fault.answer(error(404), status=404)] * 9,
    "429": [Fault.answer(error(429), status=429)] * 9,
    "500": [Fault.answer(error(500), status=500)] * 9,
    "a redirect": [Fault("status", status=307, headers={"location": f"http://127.0.0.1:9/?key={KEY.value}"})] * 9,
}
SETTINGS: dict[str, Any] = {"idle_timeout": 0.1, "first_token_timeout": 0.2, "connect_timeout": 2.0}
PLACES = ("key", "default_headers", "extra_headers")


def links(exc: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        yield from links(exc.__cause__, seen)
        yield from links(exc.__context__, seen)


def frames(found: TracebackType | None) -> Iterator[str]:
    """The local variables of our own frames."""
    while found is not None:
        if Path(found.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
            for name, value in found.tb_frame.f_locals.items():
                yield f"{found.tb_frame.f_code.co_name}: {name} = {value!r}"
        found = found.tb_next


def shown(exc: BaseException, *, locals_of_callers: bool) -> list[str]:
    """Everything that a program, a log or a report may show of an error."""
    report = traceback.TracebackException.from_exception(exc, capture_locals=locals_of_callers)
    lines = list(report.format())
    for link in links(exc, set()):
        lines += [str(link), repr(link), repr(link.args), repr(vars(link)), repr(getattr(link, "body", ""))]
        for name in ("request", "response"):
            with suppress(RuntimeError):
                message = getattr(link, name, None)
                lines += [repr(message), repr(getattr(message, "url", "")), repr(getattr(message, "headers", ""))]
        lines += frames(link.__traceback__)
    return lines


def check(raised: list[BaseException], caplog: pytest.LogCaptureFixture, *, locals_of_callers: bool = True) -> None:
    for exc in raised:
        lines = [*shown(exc, locals_of_callers=locals_of_callers), caplog.text]
        hits = [line for line in lines if KEY.value in line]
        assert not hits, "\n".join(hits)[:3000].replace(KEY.value, "[THE KEY]")


def settings(place: str) -> dict[str, Any]:
    return {"default_headers": {"X-Api-Key": KEY.value}} if place == "default_headers" else {}


def options(place: str) -> dict[str, Any]:
    return {"extra_headers": {"api-key": KEY.value}} if place == "extra_headers" else {}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_a_model_shows_the_key(
    colour: Colour, fault: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tframex")
    raised: list[BaseException] = []

    async def body() -> None:
        key = KEY.value if place == "key" else "none"
        made = VLLMModel("fake", server.url, key, max_retries=1, resume="never", **SETTINGS, **settings(place))
        del key
        async with colour.make(made) as model:
            try:
                await model.call(USER, **options(place))
            except Exception as exc:
                raised.append(exc)

    with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
        colour.run(body)
    assert raised
    # What is given to a call is in the variables of those who give it: the test's own here.
    check(raised, caplog, locals_of_callers=place != "extra_headers")


@pytest.mark.parametrize("resume", ["auto", "never"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_the_synchronous_drop_in_shows_the_key(
    fault: str, resume: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tframex")
    messages: Any = USER
    raised: list[BaseException] = []
    with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
        made = tframex.OpenAI(base_url=server.url, api_key=KEY.value, max_retries=0, timeout=0.3, resume=resume)
        with made as client:
            try:
                for _ in client.chat.completions.create(model="fake", messages=messages, stream=True):
                    pass
            except Exception as exc:
                raised.append(exc)
    check(raised, caplog)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_of_the_asynchronous_drop_in_shows_the_key(
    fault: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tframex")
    messages: Any = USER
    raised: list[BaseException] = []

    async def body() -> None:
        made = tframex.AsyncOpenAI(base_url=server.url, api_key=KEY.value, max_retries=0, timeout=0.3)
        async with made as client:
            try:
                async for _ in await client.chat.completions.create(model="fake", messages=messages, stream=True):
                    pass
            except Exception as exc:
                raised.append(exc)

    with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
        anyio.run(body, backend=backend)
    check(raised, caplog)


# -- what is given to a call ------------------------------------------------------------------------------------------


class Careful(BaseAgent):
    """A user's own agent, which hands its options on."""

    async def run(self, prompt: str, **options: Any) -> str:
        return await self._stream_and_aggregate(prompt, **options)


class Own(BaseModel):
    """A user's own model, which fails."""

    async def call_stream(self, messages: Messages, **options: Any) -> AsyncGenerator[str, None]:
        raise ModelError("refused")
        yield ""


class Pair(BaseSystem):
    """A user's own system."""

    async def run(self, prompt: str, **options: Any) -> str:
        return (await self.model.call([{"role": "user", "content": prompt}], **options)).text


async def read(pieces: Any) -> None:
    async for _ in pieces:
        pass


def samples(found: Samples) -> None:
    """Raise the error of a call that failed."""
    for sample in found:
        if sample.error is not None:
            raise sample.error


LONG = "The keeper wrote down every ship. " * 20
# The thing that is called, with a model; and how.
CALLS: dict[str, tuple[Callable[[Any], Any], Callable[..., Any]]] = {
    "call": (lambda m: m, lambda t, o, _: t.call(USER, **o)),
    "call_stream": (lambda m: m, lambda t, o, _: read(t.call_stream(USER, **o))),
    "stream": (lambda m: m, lambda t, o, _: read(t.stream(USER, **o))),
    "events": (lambda m: m, lambda t, o, _: read(t.events(USER, **o))),
    "stream_after": (lambda m: m, lambda t, o, _: read(t.stream_after(USER, "One", 1, **o))),
    "call of an own model": (lambda m: Own("own"), lambda t, o, _: t.call(USER, **o)),
    "events of an own model": (lambda m: Own("own"), lambda t, o, _: read(t.events(USER, **o))),
    "agent.run": (lambda m: BasicAgent("a", m), lambda t, o, _: t.run("Hi", **o)),
    "agent.stream": (lambda m: BasicAgent("a", m), lambda t, o, _: read(t.stream("Hi", **o))),
    "agent.events": (lambda m: BasicAgent("a", m), lambda t, o, _: read(t.events("Hi", **o))),
    "agent.complete": (lambda m: BasicAgent("a", m), lambda t, o, _: t.complete("Hi", **o)),
    "agent.stream_to_file": (
        lambda m: ContextAgent("a", m, "Red."),
        lambda t, o, to: t.stream_to_file("Hi", to / "out.txt", **o),
    ),
    "own agent.run": (lambda m: Careful("a", m), lambda t, o, _: t.run("Hi", **o)),
    "own agent.complete": (lambda m: Careful("a", m), lambda t, o, _: t.complete("Hi", **o)),
    "own agent.stream": (lambda m: Careful("a", m), lambda t, o, _: read(t.stream("Hi", **o))),
    "own agent.stream_to_file": (
        lambda m: Careful("a", m),
        lambda t, o, to: t.stream_to_file("Hi", to / "out.txt", **o),
    ),
    "own system.run": (lambda m: Pair("s", m), lambda t, o, _: t.run("Hi", **o)),
    "own system.events": (lambda m: Pair("s", m), lambda t, o, _: read(t.events("Hi", **o))),
    "chain.run": (lambda m: ChainOfAgents("s", m), lambda t, o, _: t.run("Who?", LONG, **o)),
    "chain.complete": (lambda m: ChainOfAgents("s", m), lambda t, o, _: t.complete("Who?", LONG, **o)),
    "chain.stream": (lambda m: ChainOfAgents("s", m), lambda t, o, _: read(t.stream("Who?", LONG, **o))),
    "chain.events": (lambda m: ChainOfAgents("s", m), lambda t, o, _: read(t.events("Who?", LONG, **o))),
    "chain.run, with a checkpoint": (
        lambda m: ChainOfAgents("s", m),
        lambda t, o, to: t.run("Who?", LONG, checkpoint=to / "c.sqlite", **o),
    ),
    "map_reduce.run_many": (lambda m: MapReduceSystem("s", m), lambda t, o, _: t.run_many("Who?", [LONG], **o)),
    "multi.complete": (lambda m: MultiCallSystem("s", m), lambda t, o, to: t.complete("Hi", 2, to, **o)),
    "multi.sample": (lambda m: MultiCallSystem("s", m), lambda t, o, _: t.sample("Hi", 2, **o)),
    "multi.map": (lambda m: MultiCallSystem("s", m), lambda t, o, _: t.map(["Hi", USER], **o)),
    "multi.vote": (lambda m: MultiCallSystem("s", m), lambda t, o, _: t.vote("Hi", 2, **o)),
    "multi.best_of": (lambda m: MultiCallSystem("s", m), lambda t, o, _: t.best_of("Hi", 2, float, **o)),
    "multi.events": (lambda m: MultiCallSystem("s", m), lambda t, o, to: read(t.events("Hi", 2, to, **o))),
    "multi.run_file": (
        lambda m: MultiCallSystem("s", m),
        lambda t, o, to: t.run_file(to / "in.jsonl", to / "out.jsonl", **o),
    ),
}


@pytest.mark.parametrize("fault", ["refused", "401", "an error event in the middle"])
@pytest.mark.parametrize("name", CALLS)
def test_no_frame_of_ours_shows_the_headers_and_parameters_of_a_call(
    colour: Colour, name: str, fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The frames of those who give them are theirs."""
    caplog.set_level(logging.DEBUG, logger="tframex")
    (tmp_path / "in.jsonl").write_text('"Hi"\n')
    raised: list[BaseException] = []
    make, ask = CALLS[name]

    async def body() -> None:
        made = VLLMModel("fake", server.url, "none", max_retries=0, resume="never", **SETTINGS)
        async with colour.make(made) as model:
            given = {"extra_headers": {"Authorization": KEY.value}, "extra_query": {"key": KEY.value}}
            try:
                found = await ask(colour.make(make(colour.original(model))), given, tmp_path)
                if isinstance(found, Samples):
                    samples(found)
            except Exception as exc:
                raised.append(exc)

    with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
        colour.run(body)
    assert raised or name in ("multi.run_file", "multi.events")
    for exc in raised:
        raised += [one.error for one in getattr(exc, "results", {}).values() if getattr(one, "error", None)]
    check(raised, caplog, locals_of_callers=False)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_frame_of_the_drop_ins_shows_the_headers_and_parameters_of_a_call(
    colour: Colour, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tframex")
    given: dict[str, Any] = {
        "model": "fake",
        "messages": USER,
        "stream": True,
        "extra_headers": {"api-key": KEY.value},
        "extra_query": {"key": KEY.value},
    }
    raised: list[BaseException] = []
    settings: dict[str, Any] = {"api_key": "none", "max_retries": 0, "timeout": 0.3}

    async def asynchronous() -> None:
        async with tframex.AsyncOpenAI(base_url=server.url, **settings) as client:
            try:
                async for _ in await client.chat.completions.create(**given):
                    pass
            except Exception as exc:
                raised.append(exc)

    def synchronous() -> None:
        with tframex.OpenAI(base_url=server.url, **settings) as client:
            try:
                for _ in client.chat.completions.create(**given):
                    pass
            except Exception as exc:
                raised.append(exc)

    with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
        synchronous() if colour.name == "sync" else colour.run(asynchronous)
    check(raised, caplog, locals_of_callers=False)


def test_a_password_in_the_url_of_a_drop_in_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    messages: Any = USER
    for fault in ("refused", "401", "a web page that echoes it", "cut"):
        raised: list[BaseException] = []
        with FakeVLLM(TEXT, faults=list(FAULTS[fault])) as server:
            url = server.url.replace("://", "://user:{}@")
            with tframex.OpenAI(
                base_url=url.format(KEY.value), api_key="none", max_retries=0, resume="never"
            ) as client:
                try:
                    for _ in client.chat.completions.create(model="fake", messages=messages, stream=True):
                        pass
                except Exception as exc:
                    raised.append(exc)
        check(raised, caplog)


HEADERS: dict[str, Any] = {"default_headers": {"Authorization": f"Bearer {KEY.value}"}}
CLIENT: dict[str, Any] = {"base_url": "http://127.0.0.1:1", "api_key": KEY.value}
ENVIRONMENT = {"API_URL": "http://127.0.0.1:1", "API_KEY": KEY.value, "MODEL_NAME": "m"}
MAKERS: dict[str, Callable[..., Any]] = {
    "VLLMModel": lambda **wrong: VLLMModel("m", "http://127.0.0.1:1", KEY.value, **wrong),
    "sync.VLLMModel": lambda **wrong: sync.VLLMModel("m", "http://127.0.0.1:1", KEY.value, **wrong),
    "VLLMModel, headers": lambda **wrong: VLLMModel("m", "http://127.0.0.1:1", "none", **HEADERS, **wrong),
    "VLLMModel.from_env": lambda **wrong: VLLMModel.from_env(ENVIRONMENT, **wrong),
    "sync.VLLMModel.from_env": lambda **wrong: sync.VLLMModel.from_env(ENVIRONMENT, **wrong),
    "VLLMModel.from_client": lambda **wrong: VLLMModel.from_client(openai.OpenAI(**CLIENT), "m", **wrong),
    "sync.VLLMModel.from_client": lambda **wrong: sync.VLLMModel.from_client(openai.OpenAI(**CLIENT), "m", **wrong),
    "AsyncOpenAI": lambda **wrong: tframex.AsyncOpenAI(**CLIENT, **wrong),
    "OpenAI": lambda **wrong: tframex.OpenAI(**CLIENT, **wrong),
    "OpenAI.copy": lambda **wrong: tframex.OpenAI(**CLIENT).copy(default_headers={"api-key": KEY.value}, **wrong),
}


@pytest.mark.parametrize("name", MAKERS)
def test_no_frame_of_ours_shows_the_key_of_a_client_with_a_wrong_setting(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MAKERS[name](resume="sometimes")
    check([caught.value], caplog, locals_of_callers=False)


def test_no_frame_of_ours_shows_the_environment_in_which_a_variable_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    incomplete = {name: value for name, value in ENVIRONMENT.items() if name != "MODEL_NAME"}
    for make in (VLLMModel.from_env, sync.VLLMModel.from_env):
        with pytest.raises(ConfigurationError) as caught:
            make(incomplete)
        check([caught.value], caplog, locals_of_callers=False)


def test_an_idempotency_key_is_no_secret() -> None:
    """Official helpers read it from the request of an error, and send it again."""
    messages: Any = USER
    with (
        FakeVLLM(faults=[Fault.busy(503)]) as server,
        tframex.OpenAI(base_url=server.url, api_key="k", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        headers = {"Idempotency-Key": "once-and-only-once"}
        client.chat.completions.create(model="fake", messages=messages, extra_headers=headers)
    assert caught.value.request.headers["idempotency-key"] == "once-and-only-once"
