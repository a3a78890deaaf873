"""The places in which pydantic keeps a model, written to as unpickling does: a model is made without validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["new_object", "set_extra", "set_fields", "set_names", "set_private"]

_SLOTS: Mapping[str, Any] = vars(BaseModel)
new_object: Any = object.__new__
set_fields = _SLOTS["__dict__"].__set__
set_names = _SLOTS["__pydantic_fields_set__"].__set__
set_extra = _SLOTS["__pydantic_extra__"].__set__
set_private = _SLOTS["__pydantic_private__"].__set__
