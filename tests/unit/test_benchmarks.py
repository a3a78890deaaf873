"""What measures and what shows it: each row of a table reads complete answers, and the page has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import tframex
from tests.benchmarks import responses, typed
from tests.benchmarks._paced import PacedServer, serve
from tests.benchmarks._typed_server import serve as serve_typed
from tests.benchmarks.clients import ASYNC, MESSAGES, SYNC, measure, shown
from tests.benchmarks.notice import READS, measured
from tests.benchmarks.page import _sentences
from tests.conformance import apis
from tests.conformance.__main__ import _SHOWN, matrix
from tests.conformance.faults import FAULTS


@pytest.fixture(scope="module")
def server() -> Iterator[PacedServer]:
    with serve(0.002) as server:
        yield server


@pytest.mark.parametrize("name", [*ASYNC, *SYNC])
def test_a_measured_client_reads_complete_answers(name: str, server: PacedServer) -> None:
    """A client that lost text would look cheap."""
    found = measure(name, server.url, 3, 20)
    assert found.tokens == 60
    assert found.us > 0


@pytest.mark.parametrize("way", [*responses.WAYS])
@pytest.mark.parametrize("name", [*responses.KINDS])
def test_a_measured_stream_of_another_api_is_complete(
    name: str, way: str, server: PacedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, value in (("STREAMS", 3), ("THREADS", 3), ("TOKENS", 20)):
        monkeypatch.setattr(responses, limit, value)
    found = responses.measure(responses.KINDS[name][0], way, server.url)
    assert found.tokens == 60
    assert found.us > 0


@pytest.mark.parametrize("name", typed.WAYS)
def test_a_measured_typed_answer_is_complete(name: str) -> None:
    with serve_typed() as url:
        assert typed.measure(typed.WAYS[name], url, 60, 2) > 0
    assert typed.growth(60, 2) > 0


def test_the_paced_server_says_what_it_has_done(server: PacedServer) -> None:
    """The end of each stream, how late it was, and the CPU: where the server is the limit, it shows."""

    async def main() -> None:
        async with tframex.VLLMModel("smol", server.url, "k") as model:
            await asyncio.gather(*(model.call(MESSAGES, max_tokens=10, user=str(number)) for number in range(4)))

    server.load()
    asyncio.run(main())
    load = server.load()
    assert (set(load.ended), len(load.lag)) == ({"0", "1", "2", "3"}, 4)
    assert load.cpu > 0


def test_ends_cuts_and_cancellations_are_all_noticed() -> None:
    """Each kind is measured, and none of them for a stream that met another."""
    read, options = READS["`VLLMModel.call`"]
    with serve(0.004) as server:
        found = measured(server, read, options, 0.004)
    assert (len(found["end"]), len(found["cut"])) == (20, 20)
    assert found["cancel"]


def test_clients_are_the_rows_of_the_table_of_faults() -> None:
    """Sixteen columns of clients put most of them off the screen."""
    table = matrix({"`VLLMModel.call`": ["continued"] * len(FAULTS), "other": ["LOST"] * len(FAULTS)})
    assert [row[0] for row in table.rows] == ["`VLLMModel.call`", "other"]
    assert set(table.rows[1][1:]) == {"**LOST**"}
    assert len("".join(table.columns[1:])) <= 70
    assert all(f"*{row.short}*: {row.name}" in table.markdown() for row in FAULTS)


def test_pages_lead_with_the_real_pattern_and_say_only_what_was_measured() -> None:
    """A figure that is missing leaves its part of the sentence out."""
    facts = {f"{name} cheaper": 5.0 for name in ("VLLMModel.call", "VLLMModel.call_stream", "tframex.AsyncOpenAI")}
    [alone] = _sentences(facts)
    assert "interval" not in alone
    assert "one event a step" in alone
    more = {"VLLMModel.call_stream, interval=0.05 cheaper": 9.0, "tframex.AsyncOpenAI, interval=0.05 cheaper": 8.0}
    scale = {"VLLMModel.call 1000 wall": 1.05, "VLLMModel.call 1000 core": 0.5, "openai.AsyncOpenAI 1000 wall": 11.0}
    first, second = _sentences({**facts, **more, **scale})
    assert "9 times where a screen shows it" in first
    assert "1.05 times the server's own time" in second


def test_a_clients_name_can_be_broken_before_its_option() -> None:
    """Code does not wrap, and the table's first column is narrow."""
    assert shown("VLLMModel.call_stream, interval=0.05") == "`VLLMModel.call_stream`, `interval=0.05`"
    assert shown("bare aiohttp, reading bytes") == "bare aiohttp, reading bytes"


def test_the_other_apis_meet_the_same_faults() -> None:
    """The official client and ours, in both colours, for each of them."""
    names = [client.name for api in apis.APIS for client in apis.clients(api)]
    assert len(set(names)) == 4 * len(apis.APIS)
    assert {tuple(row.name for row in rows) for rows in apis.ROWS.values()} == {tuple(row.name for row in FAULTS)}
    table = apis.matrix({name: ["HUNG"] * len(FAULTS) for name in names}, _SHOWN)
    assert [row[0] for row in table.rows] == names
