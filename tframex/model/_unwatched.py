"""Calls whose text is not shown while it grows."""

from __future__ import annotations

from typing import Any

from tframex.model._exchange_model import ExchangeModel
from tframex.model.base import BaseModel

__all__ = ["unwatched"]


def unwatched(model: BaseModel, options: dict[str, Any]) -> dict[str, Any]:
    """The options for such a call: a model that can reads it when that costs least."""
    return {**options, "interval": None} if isinstance(model, ExchangeModel) else options
