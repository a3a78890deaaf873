"""The places in which pydantic keeps a model, written to as unpickling does: a model is made without validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["copied", "kept", "new_object", "parts_of", "set_extra", "set_fields", "set_names", "set_private"]

_SLOTS: Mapping[str, Any] = vars(BaseModel)
new_object: Any = object.__new__
set_fields = _SLOTS["__dict__"].__set__
set_names = _SLOTS["__pydantic_fields_set__"].__set__
set_extra = _SLOTS["__pydantic_extra__"].__set__
set_private = _SLOTS["__pydantic_private__"].__set__

# How many are kept: a client meets few kinds of chunks.
_MOST = 64
_Parts = tuple[dict[str, Any], set[str], dict[str, Any]]
_kept: dict[str, _Parts] = {}


def parts_of(model: BaseModel) -> _Parts:
    """What a copy of a model is made of: its fields, the names of those that were set, and those that are not declared."""
    return vars(model), model.__pydantic_fields_set__, model.__pydantic_extra__ or {}


def kept(parts: _Parts, name: str) -> _Parts:
    """Parts of a model that differ from these in the value of one field at most, the same for all that are alike.

    Args:
        parts: The parts; all other values are numbers, texts or None.
        name: The field, which is to be replaced in copies.
    """
    fields, names, extra = parts
    alike = repr(({**fields, name: None}, sorted(names), extra))
    if len(_kept) >= _MOST:
        _kept.clear()
    return _kept.setdefault(alike, ({**fields, name: None}, names, extra))


def copied(kind: type[BaseModel], parts: _Parts, name: str, value: object) -> Any:
    """A model that differs from another in the value of one field."""
    fields, names, extra = parts
    fields = fields.copy()
    fields[name] = value
    model = new_object(kind)
    set_fields(model, fields)
    set_names(model, names.copy())
    set_extra(model, extra.copy())
    set_private(model, None)
    return model
