"""No key is shown, whatever goes wrong: not by an error, by what caused it, by a log, or a report with local variables."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import anyio
import pytest

import tframex
from tests.conftest import USER, Colour
from tframex.model import VLLMModel
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
    while found is not None:
        home = found.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/tframex/")[2].split("/")[0]
        if home in ("exchange", "model", "client"):
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
    # What is given to a call is in the variables of those who give it and hand it on, until the model has it.
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
