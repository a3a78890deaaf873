"""When and after how long a request is sent again."""

from __future__ import annotations

import anyio
import pytest
import tenacity

from tests.conftest import USER
from tframex.errors import (
    AuthenticationError,
    ModelConnectionError,
    ModelStatusError,
    ModelTimeoutError,
    RateLimitError,
    ResponseFormatError,
)
from tframex.exchange._retry import (
    DEFAULT_WAIT,
    RetryBudget,
    is_transient,
    retry_after_seconds,
    seconds_to_wait,
    wait_retry_after,
)
from tframex.model import VLLMModel
from tframex.testing import FakeVLLM, Fault


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 99:99:99 +9999999999"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan", "retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "999999999"}, 999999999.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_milliseconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    now = 1795341600.0  # Sun, 22 Nov 2026 10:00:00 GMT
    assert retry_after_seconds(headers, now=lambda: now) == seconds


def test_what_the_server_asks_for_goes_before_the_backoff_but_is_capped() -> None:
    wait = wait_retry_after(tenacity.wait_fixed(3), maximum=10)
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=2)) == 2
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=999)) == 10
    assert seconds_to_wait(wait, 1, RateLimitError("")) == 3


def test_a_wait_that_is_no_number_is_none() -> None:
    wait = wait_retry_after(tenacity.wait_fixed(3))
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=float("nan"))) == 3
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=-1)) == 0
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=float("inf"))) == 60


def test_those_who_were_refused_together_return_one_after_the_other_and_none_too_early() -> None:
    error = RateLimitError("", retry_after=1)
    waits = [seconds_to_wait(DEFAULT_WAIT, 1, error) for _ in range(50)]
    assert min(waits) >= 1
    assert max(waits) <= 1.5
    assert len(set(waits)) > 40


def test_waiting_strategies_compose() -> None:
    wait = wait_retry_after(tenacity.wait_fixed(3)) + tenacity.wait_fixed(1)
    assert seconds_to_wait(wait, 1, RateLimitError("", retry_after=2)) == 3


def test_the_default_grows_up_to_eight_seconds() -> None:
    error = ModelConnectionError("")
    assert all(seconds_to_wait(DEFAULT_WAIT, 1, error) <= 0.5 for _ in range(50))
    assert all(seconds_to_wait(DEFAULT_WAIT, 50, error) <= 8 for _ in range(50))


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ModelConnectionError(""), True),
        (ModelTimeoutError("", phase="connect"), True),
        (ModelTimeoutError("", phase="first_token"), False),
        (ModelTimeoutError("", phase="idle"), False),
        (ModelTimeoutError("", phase="total"), False),
        (ModelStatusError("", status_code=408), True),
        (ModelStatusError("", status_code=409), True),
        (RateLimitError("", status_code=429), True),
        (ModelStatusError("", status_code=500), True),
        (ModelStatusError("", status_code=503), True),
        (ModelStatusError("", status_code=400), False),
        (AuthenticationError("", status_code=401), False),
        (ResponseFormatError(""), False),
    ],
)
def test_only_what_may_pass_is_sent_again(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def test_a_server_that_asks_to_wait_has_not_failed() -> None:
    budget = RetryBudget(tokens=2)
    waits = [RateLimitError("", status_code=429), ModelStatusError("", status_code=503, retry_after=1.0)]
    assert all(budget.allows(error) for error in waits * 10)
    assert not budget.allows(ModelStatusError("", status_code=503))


def test_of_many_calls_that_are_told_to_wait_none_fails() -> None:
    """A server that takes sixty of 150: the others get a 429 with `Retry-After: 1`, once."""

    async def body() -> None:
        async def call() -> None:
            assert (await model.call(USER)).text == "Red."

        async with VLLMModel("fake", server.url, "k", max_retries=2) as model, anyio.create_task_group() as group:
            for _ in range(150):
                group.start_soon(call)

    with FakeVLLM("Red.", faults=[Fault.busy(429, retry_after="1")] * 90) as server:
        anyio.run(body)
    assert len(server.completions()) == 240


def test_a_dying_server_is_not_stormed() -> None:
    budget = RetryBudget(tokens=10, refill=1)
    assert [budget.failure() for _ in range(6)] == [True, True, True, True, False, False]
    for _ in range(10):
        budget.success()
    assert budget.failure()
    assert repr(budget) == "RetryBudget(9 of 10)"
