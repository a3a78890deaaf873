"""Calls whose text is not shown while it grows."""

from __future__ import annotations

from typing import Any

from tframex._checks import check_interval
from tframex.exchange import GATHER
from tframex.model._exchange_model import ExchangeModel
from tframex.model.base import BaseModel

__all__ = ["unwatched"]


def unwatched(model: BaseModel, options: dict[str, Any]) -> dict[str, Any]:
    """The options for such a call: a model that can reads it when that costs least.

    Raises:
        ConfigurationError: The interval that was given, which does not matter here, is none.
    """
    if type(model).events is not ExchangeModel.events:  # A subclass with its own may not take further options.
        return options
    if "interval" in options:
        check_interval(options["interval"])
    return {**options, "interval": GATHER}
