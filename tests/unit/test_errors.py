"""The error tree."""

from __future__ import annotations

import pickle

import pytest

from tframex import errors
from tframex.errors import ConfigurationError, ModelTimeoutError, PartialFailureError, RateLimitError, TFrameXError


def test_every_error_has_one_root_and_stands_in_the_drawing() -> None:
    drawing = errors.__doc__ or ""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), TFrameXError)
        assert name in drawing


def test_a_configuration_error_is_a_value_error() -> None:
    assert issubclass(ConfigurationError, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        ModelTimeoutError("late", model_id="m", partial="so far", phase="total"),
        RateLimitError("busy", model_id="m", status_code=429, body={"a": 1}, retry_after=2.0),
        PartialFailureError("some", results={"a": 1}, errors={}),
    ],
)
def test_errors_survive_pickling(error: TFrameXError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
